// SPDX-License-Identifier: BSD-3-Clause

// The devices that are compared: each has one queue pair, and the driver's rings for it.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "bench/compare/driver.h"
#include "virtio/features.h"

namespace vduse::bench {

/// The features that the driver negotiates with all sides.
inline constexpr uint64_t kFeatures =
    virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform | virtio::kFeatureMergeable;
/// Also negotiated in the cases in which frames leave work to the other side.
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
    /// Gives `frames` to the driver. Returns how many it took. These are freed here or in
    /// `free_sent`.
    virtual uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept = 0;
    /// Sets the offload flags of a frame to be sent; its packet_type and lengths are already set.
    virtual void say(rte_mbuf& /*frame*/) noexcept {}
    /// After the measured calls: frees the frames of `from_guest`, and what is left of sent frames.
    virtual void free_received(std::span<rte_mbuf*> frames) noexcept {
        rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    }
    virtual void free_sent(std::span<rte_mbuf*> /*frames*/) noexcept {}
    /// After measuring: fails if something happened that should not.
    virtual void check() {}

    Driver to_guest_driver;    ///< queue 0
    Driver from_guest_driver;  ///< queue 1
};

}  // namespace vduse::bench
