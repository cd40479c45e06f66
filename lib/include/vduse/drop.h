// SPDX-License-Identifier: BSD-3-Clause

// Why a frame or a chain did not go through.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vduse {

enum class Drop : uint8_t {
    malformed,   ///< the chain broke a rule of the ring, or is not mapped
    bad_header,  ///< the virtio-net header asks for what was not negotiated
    too_short,   ///< no room for, or no content of, header and Ethernet header
    too_long,    ///< longer than the MTU allows
    filtered,    ///< to_guest: the driver's receive filter
    no_room,     ///< to_guest: larger than the buffers that the driver offers
    bad_csum,    ///< a checksum is asked for where there can be none
    bad_gso,     ///< segments are asked for that the frame cannot be cut into
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
