// SPDX-License-Identifier: BSD-3-Clause

// struct virtio_net_hdr (virtio 1.3, 5.1.6).
#pragma once

#include <bit>
#include <cstdint>

namespace vduse::net {

/// With VIRTIO_F_VERSION_1, num_buffers is always present.
struct NetHeader {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t num_buffers;
};
static_assert(sizeof(NetHeader) == 12);

/// A header as it is in memory, as two numbers, which stay in registers. A header that is put
/// together in memory is loaded in wider pieces than it was stored in, which stalls (13 cycles).
struct WireHeader {
    uint64_t first;
    uint32_t last;
};
static_assert(std::endian::native == std::endian::little);
constexpr WireHeader wire(const NetHeader& header) {
    return {
        uint64_t{header.flags} | uint64_t{header.gso_type} << 8 | uint64_t{header.hdr_len} << 16 |
            uint64_t{header.gso_size} << 32 | uint64_t{header.csum_start} << 48,
        uint32_t{header.csum_offset} | uint32_t{header.num_buffers} << 16};
}

inline constexpr uint8_t kHeaderNeedsCsum = 1;
inline constexpr uint8_t kHeaderDataValid = 2;
inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoEcn = 0x80;  ///< a flag, added to one of the others

inline constexpr uint32_t kHeaderBytes = sizeof(NetHeader);

}  // namespace vduse::net
