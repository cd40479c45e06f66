// SPDX-License-Identifier: BSD-3-Clause

// A vhost-user front end: QEMU's messages to rte_vhost, as far as one queue pair behind an IOMMU
// needs them. It gives rte_vhost its memory, its rings, and every region as an IOTLB entry, with
// VIRTIO_F_ACCESS_PLATFORM, so that rte_vhost translates each buffer as it does under VDUSE.
//
// Every message requests an acknowledgement. If rte_vhost refuses one, the program exits.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "base/fd.h"
#include "bench/compare/ram.h"
#include "ring/split_burst.h"

namespace vduse::bench {

class VhostUser {
  public:
    /// Connects to `path` and starts queues 0 and 1 with `rings` and `features`.
    VhostUser(
        const std::string& path,
        const Ram& ram,
        const std::array<ring::Layout, 2>& rings,
        uint64_t features
    );

    /// How many addresses rte_vhost has requested since the last call.
    unsigned misses();

  private:
    uint64_t get(uint32_t request);
    void set(uint32_t request, const void* payload, uint32_t bytes, int fd = -1);
    void set_number(uint32_t request, uint64_t value, int fd = -1) {
        set(request, &value, sizeof value, fd);
    }
    void send(uint32_t request, uint32_t flags, const void* payload, uint32_t bytes, int fd);
    uint64_t reply(uint32_t request);
    void set_memory(const Ram& ram);
    void set_ring(uint32_t index, const ring::Layout& layout);

    UniqueFd socket_;
    UniqueFd back_;  ///< rte_vhost requests addresses here
};

}  // namespace vduse::bench
