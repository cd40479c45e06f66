// SPDX-License-Identifier: BSD-3-Clause

// Memory for frames that do not fit into one mbuf of the application's pool. Instead of a chain of
// mbufs, such a frame gets one buffer of nearly 64 KiB, attached to an mbuf of that pool as an
// external buffer. To use it, pass it in RxOptions.
//
// A buffer is returned when its mbuf is freed, on any thread. The memory is freed when neither the
// LargeBuffers nor any frame uses it any more.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vduse/result.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse {

/// A pool of such buffers.
class LargeBuffers {
  public:
    /// The longest frame that a buffer has room for, in bytes: the limit of an mbuf's `buf_len`.
    static constexpr uint32_t kLongest = UINT16_MAX;

    /// `name`: the name of the mempool, with DPDK's limits. `count`: the number of buffers.
    /// `node`: the NUMA node, -1 for any. Codes are those of rte_mempool_create().
    static Result<std::unique_ptr<LargeBuffers>> create(
        const std::string& name, uint32_t count, int node
    );
    LargeBuffers(const LargeBuffers&) = delete;
    LargeBuffers& operator=(const LargeBuffers&) = delete;
    ~LargeBuffers();

    /// Any thread: attaches a buffer to `mbuf`, which hides the mbuf's own memory until the mbuf is
    /// freed or the buffer is detached. Afterwards `mbuf` is empty and has room for `bytes`, at
    /// most kLongest. false: no buffer is free or the mbuf cannot have one, and nothing has
    /// changed.
    bool attach(rte_mbuf& mbuf, uint32_t bytes) noexcept;

  private:
    explicit LargeBuffers(rte_mempool* pool) : pool_(pool) {}

    rte_mempool* pool_;
};

}  // namespace vduse
