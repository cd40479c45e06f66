// SPDX-License-Identifier: BSD-3-Clause

// The configuration space of a virtio-net device (virtio 1.3, 5.1.4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vduse::virtio {

inline constexpr uint16_t kConfigLinkUp = 1;

/// All 24 bytes, whatever features are offered: QEMU reads as many as its own features require.
struct [[gnu::packed]] ConfigSpace {
    uint8_t mac[6];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
    uint16_t mtu;
    uint32_t speed;  ///< Mbit/s
    uint8_t duplex;  ///< 1 full
    uint8_t rss_max_key_size;
    uint16_t rss_max_indirection_table_length;
    uint32_t supported_hash_types;
};
static_assert(sizeof(ConfigSpace) == 24);
static_assert(offsetof(ConfigSpace, status) == 6 && offsetof(ConfigSpace, speed) == 12);

}  // namespace vduse::virtio
