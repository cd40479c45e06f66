// Feature bits of virtio-net and the configuration space (virtio 1.3, 5.1.3, 5.1.4, 6).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vduse::net {

constexpr uint64_t bit(unsigned number) {
    return uint64_t{1} << number;
}

inline constexpr uint64_t kFeatureMtu = bit(3);
inline constexpr uint64_t kFeatureMac = bit(5);
inline constexpr uint64_t kFeatureMergeable = bit(15);
inline constexpr uint64_t kFeatureStatus = bit(16);
inline constexpr uint64_t kFeatureCtrlVq = bit(17);
inline constexpr uint64_t kFeatureCtrlRx = bit(18);
inline constexpr uint64_t kFeatureCtrlVlan = bit(19);
inline constexpr uint64_t kFeatureCtrlRxExtra = bit(20);
inline constexpr uint64_t kFeatureMq = bit(22);
inline constexpr uint64_t kFeatureCtrlMacAddr = bit(23);
inline constexpr uint64_t kFeatureIndirect = bit(28);
inline constexpr uint64_t kFeatureEventIdx = bit(29);
inline constexpr uint64_t kFeatureVersion1 = bit(32);
inline constexpr uint64_t kFeatureAccessPlatform = bit(33);
inline constexpr uint64_t kFeatureSpeedDuplex = bit(63);

/// Features that mean nothing without a control queue.
inline constexpr uint64_t kControlFeatures = kFeatureCtrlVq | kFeatureCtrlRx | kFeatureCtrlVlan |
                                             kFeatureCtrlRxExtra | kFeatureMq | kFeatureCtrlMacAddr;

inline constexpr uint8_t kStatusAcknowledge = 0x01;
inline constexpr uint8_t kStatusDriver = 0x02;
inline constexpr uint8_t kStatusDriverOk = 0x04;
inline constexpr uint8_t kStatusFeaturesOk = 0x08;

inline constexpr uint16_t kConfigLinkUp = 1;

/// All 24 bytes, whatever is offered: QEMU reads as many as its own features ask for.
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

}  // namespace vduse::net
