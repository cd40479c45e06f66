// SPDX-License-Identifier: BSD-3-Clause

// Memory for frames that the mbufs of an application's pool are too short for: one buffer of nearly
// 64 KiB a frame, attached to an mbuf of that pool (an external buffer, in DPDK's words), in place
// of a chain of mbufs. RxOptions names it.
//
// A buffer comes back when the mbuf that has it is freed, by whoever and on whatever thread. The
// memory is freed when nobody needs it any more: neither its LargeBuffers, nor any frame.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vduse/result.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse {

/// A number of such buffers.
class LargeBuffers {
  public:
    /// The longest frame that a buffer has room for, in bytes: what an mbuf can say of one.
    static constexpr uint32_t kLongest = UINT16_MAX;

    /// `name`: of the mempool, as DPDK limits it. `count`: buffers. `node`: -1: any.
    /// Code: DPDK's.
    static Result<std::unique_ptr<LargeBuffers>> create(
        const std::string& name, uint32_t count, int node
    );
    LargeBuffers(const LargeBuffers&) = delete;
    LargeBuffers& operator=(const LargeBuffers&) = delete;
    ~LargeBuffers();

    /// Attaches a buffer to `mbuf`, whose own memory it hides until it is freed or detached. `mbuf`
    /// is empty then, with room for `bytes`, at most kLongest. false, and nothing has changed:
    /// there is none, or the mbuf cannot have one. Any thread.
    bool attach(rte_mbuf& mbuf, uint32_t bytes) noexcept;

  private:
    explicit LargeBuffers(rte_mempool* pool) : pool_(pool) {}

    rte_mempool* pool_;
};

}  // namespace vduse
