// SPDX-License-Identifier: BSD-3-Clause

// Why a frame or a descriptor chain was dropped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vduse {

enum class Drop : uint8_t {
    malformed,   ///< the chain breaks a rule of the ring, or its memory is not mapped
    bad_header,  ///< the virtio-net header uses a feature that was not negotiated
    too_short,   ///< the chain or the frame is too short for the headers
    too_long,    ///< longer than the MTU or RxOptions allow
    filtered,    ///< to_guest: refused by the driver's receive filter
    no_room,     ///< to_guest: larger than the buffers that the driver offers
    bad_csum,    ///< a checksum is requested that the frame cannot have
    bad_gso,     ///< segmentation is requested of a frame that cannot be cut
};
inline constexpr size_t kDropReasons = 8;

inline constexpr std::array<const char*, kDropReasons> kDropNames = {
    "malformed",
    "bad_header",
    "too_short",
    "too_long",
    "filtered",
    "no_room",
    "bad_csum",
    "bad_gso"};

}  // namespace vduse
