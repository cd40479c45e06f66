// SPDX-License-Identifier: BSD-3-Clause

// What is compared: a device with one queue pair, and the driver's rings for it.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "bench/compare/driver.h"
#include "virtio/features.h"

namespace vduse::bench {

/// What the driver negotiates with all sides.
inline constexpr uint64_t kFeatures =
    virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform | virtio::kFeatureMergeable;
/// And in the cases of which frames leave something to others.
inline constexpr uint64_t kOffloads = virtio::kFeatureCsum | virtio::kFeatureGuestCsum |
                                      virtio::kFeatureHostTso4 | virtio::kFeatureGuestTso4;

class Side {
  public:
    /// `rings`: 2 * Driver::kBytes of guest memory.
    explicit Side(AddressPair rings)
        : to_guest_driver(rings), from_guest_driver(rings.behind(Driver::kBytes)) {}
    virtual ~Side() = default;

    /// Takes up to `frames.size()` frames that the driver sent.
    virtual uint16_t from_guest(rte_mempool* pool, std::span<rte_mbuf*> frames) noexcept = 0;
    /// Gives the driver the first of `frames`, as many as it returns, and frees those.
    virtual uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept = 0;
    /// Says what a frame that will be sent leaves; its packet_type and lengths are set.
    virtual void say(rte_mbuf& /*frame*/) noexcept {}
    /// Behind the measured calls: frees what `from_guest` gave, and what is left of what was sent.
    virtual void free_received(std::span<rte_mbuf*> frames) noexcept {
        rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    }
    virtual void free_sent(std::span<rte_mbuf*> /*frames*/) noexcept {}
    /// Looks at what should not have happened, after measuring.
    virtual void check() {}

    Driver to_guest_driver;    ///< queue 0
    Driver from_guest_driver;  ///< queue 1
};

}  // namespace vduse::bench
