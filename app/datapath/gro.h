// SPDX-License-Identifier: BSD-3-Clause

// Generic receive offload: TCP segments that came in one burst become large frames, for a guest
// that takes such frames. A guest that receives gains little from its offloads otherwise: ports
// give frames as they were on the wire.
//
// How it works: rte_gro does the merging. It looks neither at checksums nor at the bits of an IP
// header that must not be lost, and it gives what it cannot merge behind what it can. So it gets
// runs of frames only of which each could be merged with the next one, and whose sums are right:
// the port says so, or they are computed. What stands between two runs is neither merged nor
// overtaken. Nothing is kept from one burst to the next: no frame waits.
//
// Only IPv4: rte_gro of DPDK 22.11 knows nothing else. Frames with VLAN tags are left alone, as it
// does not compare these.
//
// Frames come from a network: lengths in them are checked against the frame before rte_gro, which
// trusts the mbuf, sees them.
//
// Threads: a worker's own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "vduse/result.h"

struct rte_mbuf;

namespace vduse::app {

class Gro {
  public:
    /// Frames that `merge` takes at once, at most.
    static constexpr uint16_t kBurst = 32;

    /// Not a worker: with tables on this NUMA node.
    static Result<std::unique_ptr<Gro>> create(int node);
    ~Gro();
    Gro(const Gro&) = delete;
    Gro& operator=(const Gro&) = delete;

    /// What is left of `frames`, in their place: fewer and longer ones. A merged one says what
    /// received large frames say (vduse/offload.h). Those that somebody else holds, too, are left
    /// alone.
    std::span<rte_mbuf*> merge(std::span<rte_mbuf*> frames) noexcept;

  private:
    explicit Gro(void* tables) : tables_(tables) {}
    void* tables_;
};

}  // namespace vduse::app
