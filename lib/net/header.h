// struct virtio_net_hdr (virtio 1.3, 5.1.6) and the sizes of frames.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vduse::net {

/// With VIRTIO_F_VERSION_1 num_buffers is always there.
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
inline constexpr uint8_t kGsoNone = 0;

inline constexpr uint32_t kHeaderBytes = sizeof(NetHeader);
inline constexpr uint32_t kEthernetHeader = 14;
inline constexpr uint32_t kVlanTag = 4;

/// The longest frame at `mtu`: two VLAN tags may come on top.
constexpr uint32_t max_frame(uint16_t mtu) {
    return uint32_t{mtu} + kEthernetHeader + 2 * kVlanTag;
}

}  // namespace vduse::net
