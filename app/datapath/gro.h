// SPDX-License-Identifier: BSD-3-Clause

// Generic receive offload: merges TCP segments of one burst into large frames, for guests that
// accept such frames. Without it, receive offloads gain a guest little: ports deliver frames as
// they were on the wire.
//
// How it works: rte_gro does the merging. It checks neither checksums nor the IP header fields that
// must not be lost, and it changes the order of frames that it cannot merge. So it only gets runs
// of frames in which each can be merged with the next, and whose checksums are correct: the port
// says so, or they are computed here. Frames between two runs are neither merged nor overtaken.
// Nothing is kept from one burst to the next: no frame waits.
//
// Only IPv4: rte_gro of DPDK 22.11 supports nothing else for TCP. Frames with VLAN tags are left
// alone, because rte_gro does not compare the tags.
//
// Frames come from a network. rte_gro trusts the mbuf, so lengths in a frame are checked against
// the mbuf first.
//
// Threads: each worker has its own object.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "vduse/result.h"

struct rte_mbuf;

namespace vduse::app {

class Gro {
  public:
    /// The most frames that `merge` takes at once.
    static constexpr uint16_t kBurst = 32;

    /// Allocates tables on this NUMA node. Not for workers.
    static Result<std::unique_ptr<Gro>> create(int node);
    ~Gro();
    Gro(const Gro&) = delete;
    Gro& operator=(const Gro&) = delete;

    /// Merges `frames` in place and returns what is left: fewer and longer frames. A merged frame
    /// is marked as a received large frame (vduse/offload.h). Frames with another reference are
    /// left alone.
    std::span<rte_mbuf*> merge(std::span<rte_mbuf*> frames) noexcept;

  private:
    explicit Gro(void* tables) : tables_(tables) {}
    void* tables_;
};

}  // namespace vduse::app
