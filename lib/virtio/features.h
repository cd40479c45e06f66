// Feature and status bits of a virtio-net device (virtio 1.3, 2.1, 5.1.3, 6).
#pragma once

#include <cstdint>

namespace vduse::virtio {

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

}  // namespace vduse::virtio
