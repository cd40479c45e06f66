// SPDX-License-Identifier: BSD-3-Clause

// struct virtio_net_hdr (virtio 1.3, 5.1.6).
#pragma once

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

inline constexpr uint8_t kHeaderNeedsCsum = 1;
inline constexpr uint8_t kHeaderDataValid = 2;
inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoEcn = 0x80;  ///< a flag, added to one of the others

inline constexpr uint32_t kHeaderBytes = sizeof(NetHeader);

}  // namespace vduse::net
