// SPDX-License-Identifier: BSD-3-Clause

// The split virtqueue in guest memory (virtio 1.3, 2.7): sizes, offsets, flags.
//
//   descriptor table  size x 16 bytes                               driver writes (2.7.5)
//   avail ring        flags, idx, ring[size], used_event            driver writes (2.7.6)
//   used ring         flags, idx, ring[size]{id, len}, avail_event  device writes (2.7.8)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace vduse::ring {

// With VIRTIO_F_VERSION_1 all fields are little-endian. So are all supported hosts.
static_assert(std::endian::native == std::endian::little);

struct Descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

inline constexpr uint16_t kDescNext = 1;
inline constexpr uint16_t kDescWrite = 2;  ///< The device writes this buffer.
inline constexpr uint16_t kDescIndirect = 4;

struct UsedElement {
    uint32_t id;
    uint32_t len;
};
static_assert(sizeof(UsedElement) == 8);

inline constexpr uint16_t kAvailNoInterrupt = 1;
inline constexpr uint16_t kUsedNoNotify = 1;

inline constexpr size_t kFlagsOffset = 0;
inline constexpr size_t kIdxOffset = 2;
inline constexpr size_t kRingOffset = 4;

constexpr uint32_t descriptor_bytes(uint32_t size) {
    return size * static_cast<uint32_t>(sizeof(Descriptor));
}
/// `event_idx`: used_event follows the ring.
constexpr uint32_t avail_bytes(uint32_t size, bool event_idx) {
    return 4 + 2 * size + (event_idx ? 2 : 0);
}
/// `event_idx`: avail_event follows the ring.
constexpr uint32_t used_bytes(uint32_t size, bool event_idx) {
    return 4 + 8 * size + (event_idx ? 2 : 0);
}

}  // namespace vduse::ring
