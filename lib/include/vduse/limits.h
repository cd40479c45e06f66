// SPDX-License-Identifier: BSD-3-Clause

// The limits of a device.
#pragma once

#include <cstdint>

namespace vduse {

inline constexpr uint16_t kMaxPairs = 128;
/// Address spaces: one for each pair, and one for the control queue.
inline constexpr uint32_t kMaxSpaces = 129;

inline constexpr uint16_t kMinQueueSize = 2;
inline constexpr uint16_t kMaxQueueSize = 32768;

/// Frames that one call of `QueuePair::from_guest` or `QueuePair::to_guest` takes at most.
inline constexpr uint16_t kMaxBurst = 64;

/// Bytes of the kernel's bounce memory.
inline constexpr uint64_t kLeastBounce = uint64_t{1} << 20;
inline constexpr uint64_t kMostBounce = uint64_t{1} << 30;

inline constexpr uint16_t kMinMtu = 68;
inline constexpr uint16_t kMaxMtu = 9702;
inline constexpr uint32_t kMaxSpeed = 0x7fffffff;  ///< Mbit/s; virtio 1.3, 5.1.4

inline constexpr uint32_t kEthernetHeader = 14;
inline constexpr uint32_t kVlanTag = 4;

/// The longest frame at `mtu`, in bytes: Ethernet header and two VLAN tags come on top.
constexpr uint32_t max_frame(uint16_t mtu) {
    return uint32_t{mtu} + kEthernetHeader + 2 * kVlanTag;
}

}  // namespace vduse
