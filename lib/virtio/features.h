// SPDX-License-Identifier: BSD-3-Clause

// Feature and status bits of a virtio-net device (virtio 1.3, 2.1, 5.1.3, 6).
//
// How it works: each feature is one row of kFeatures. The offered features, the names in logs and
// telemetry, the configuration keys and the support in QEMU are all read from there. So a new
// feature is a row, a constant if code tests for it, and its implementation.
//
// Threads: any; constants and pure functions. A hostile driver is not handled here: it can only
// accept bits, and device/state.h refuses those that were not offered.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "vduse/config.h"

namespace vduse::virtio {

constexpr uint64_t bit(unsigned number) {
    return uint64_t{1} << number;
}

inline constexpr unsigned kNoQemu = ~0U;

/// A row: when a device offers a feature, and its names.
struct Feature {
    unsigned number;        ///< of its bit
    std::string_view name;  ///< as in the specification, without VIRTIO_F_ or VIRTIO_NET_F_
    /// The feature that it requires (virtio 1.3, 5.1.3.1), whose row comes first; "": none.
    std::string_view needs = {};
    /// An alternative to `needs`; "": none.
    std::string_view or_needs = {};
    /// The feature has no meaning without this one, but the specification does not require it and
    /// drivers may negotiate it alone; "": none.
    std::string_view useless_without = {};
    /// Its switch in the configuration, and the key that sets it (options/keys.h). nullptr: no
    /// switch. "": no key. Features may share both.
    bool DeviceConfig::*member = nullptr;
    std::string_view key = {};
    /// A further condition. nullptr: none.
    bool (*applies)(const DeviceConfig& config) = nullptr;
    /// The first QEMU that shadows it; 0: all that can use VDUSE; kNoQemu: none. With a feature
    /// that it does not shadow, QEMU neither isolates the control queue nor migrates the guest, so
    /// Profile::migratable has only features with 0.
    unsigned qemu = 0;
};

inline constexpr std::array kFeatures = std::to_array<Feature>({
    {.number = 0, .name = "CSUM", .member = &DeviceConfig::csum, .key = "csum"},
    {.number = 1, .name = "GUEST_CSUM", .member = &DeviceConfig::csum, .key = "csum"},
    {.number = 3, .name = "MTU", .member = &DeviceConfig::offer_mtu},
    {.number = 5, .name = "MAC", .applies = [](auto& config) { return config.mac.has_value(); }},
    {.number = 7,
     .name = "GUEST_TSO4",
     .needs = "GUEST_CSUM",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 8,
     .name = "GUEST_TSO6",
     .needs = "GUEST_CSUM",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 9,
     .name = "GUEST_ECN",
     .needs = "GUEST_TSO4",
     .or_needs = "GUEST_TSO6",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 11,
     .name = "HOST_TSO4",
     .needs = "CSUM",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 12,
     .name = "HOST_TSO6",
     .needs = "CSUM",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 13,
     .name = "HOST_ECN",
     .needs = "HOST_TSO4",
     .or_needs = "HOST_TSO6",
     .member = &DeviceConfig::tso,
     .key = "tso"},
    {.number = 15, .name = "MRG_RXBUF", .member = &DeviceConfig::mrg_rxbuf, .key = "mrg_rxbuf"},
    {.number = 16, .name = "STATUS"},
    {.number = 17, .name = "CTRL_VQ"},
    {.number = 2,
     .name = "CTRL_GUEST_OFFLOADS",
     .useless_without = "CTRL_VQ",
     .member = &DeviceConfig::csum,
     .key = "csum"},
    {.number = 18, .name = "CTRL_RX", .needs = "CTRL_VQ"},
    {.number = 19, .name = "CTRL_VLAN", .needs = "CTRL_VQ"},
    {.number = 20, .name = "CTRL_RX_EXTRA", .useless_without = "CTRL_VQ"},
    {.number = 22,
     .name = "MQ",
     .needs = "CTRL_VQ",
     .applies = [](auto& config) { return config.queue_pairs > 1; }},
    {.number = 23, .name = "CTRL_MAC_ADDR", .needs = "CTRL_VQ"},
    {.number = 28, .name = "INDIRECT_DESC", .qemu = 11},
    {.number = 29, .name = "EVENT_IDX", .member = &DeviceConfig::event_idx, .key = "event_idx"},
    {.number = 32, .name = "VERSION_1"},
    {.number = 33, .name = "ACCESS_PLATFORM"},
    // It never reaches a guest in QEMU, which would give up isolation for it.
    {.number = 50,
     .name = "DEVICE_STATS",
     .useless_without = "CTRL_VQ",
     .applies = [](auto& config) { return config.attach != Attach::vhost; },
     .qemu = kNoQemu},
    {.number = 63, .name = "SPEED_DUPLEX"},
});

constexpr const Feature* find_feature(std::string_view name) {
    const auto* const row = std::ranges::find(kFeatures, name, &Feature::name);
    return row != kFeatures.end() ? row : nullptr;
}

/// The bit of a feature by its name. A name without a row does not compile.
consteval uint64_t feature(std::string_view name) {
    return bit(find_feature(name)->number);
}

/// The bits of `name` and of all that need it.
consteval uint64_t feature_and_dependents(std::string_view name) {
    uint64_t bits = bit(find_feature(name)->number);
    for (const Feature& row : kFeatures)
        if (row.needs == name || row.useless_without == name)
            bits |= bit(row.number);
    return bits;
}

inline constexpr uint64_t kFeatureCsum = feature("CSUM");
inline constexpr uint64_t kFeatureGuestCsum = feature("GUEST_CSUM");
inline constexpr uint64_t kFeatureCtrlGuestOffloads = feature("CTRL_GUEST_OFFLOADS");
inline constexpr uint64_t kFeatureMtu = feature("MTU");
inline constexpr uint64_t kFeatureMac = feature("MAC");
inline constexpr uint64_t kFeatureGuestTso4 = feature("GUEST_TSO4");
inline constexpr uint64_t kFeatureGuestTso6 = feature("GUEST_TSO6");
inline constexpr uint64_t kFeatureGuestEcn = feature("GUEST_ECN");
inline constexpr uint64_t kFeatureHostTso4 = feature("HOST_TSO4");
inline constexpr uint64_t kFeatureHostTso6 = feature("HOST_TSO6");
inline constexpr uint64_t kFeatureHostEcn = feature("HOST_ECN");
inline constexpr uint64_t kFeatureMergeable = feature("MRG_RXBUF");
inline constexpr uint64_t kFeatureStatus = feature("STATUS");
inline constexpr uint64_t kFeatureCtrlVq = feature("CTRL_VQ");
inline constexpr uint64_t kFeatureCtrlRx = feature("CTRL_RX");
inline constexpr uint64_t kFeatureCtrlVlan = feature("CTRL_VLAN");
inline constexpr uint64_t kFeatureCtrlRxExtra = feature("CTRL_RX_EXTRA");
inline constexpr uint64_t kFeatureMq = feature("MQ");
inline constexpr uint64_t kFeatureCtrlMacAddr = feature("CTRL_MAC_ADDR");
inline constexpr uint64_t kFeatureIndirect = feature("INDIRECT_DESC");
inline constexpr uint64_t kFeatureEventIdx = feature("EVENT_IDX");
inline constexpr uint64_t kFeatureVersion1 = feature("VERSION_1");
inline constexpr uint64_t kFeatureAccessPlatform = feature("ACCESS_PLATFORM");
inline constexpr uint64_t kFeatureDeviceStats = feature("DEVICE_STATS");
inline constexpr uint64_t kFeatureSpeedDuplex = feature("SPEED_DUPLEX");

/// Features that have no meaning without a control queue.
inline constexpr uint64_t kControlFeatures = feature_and_dependents("CTRL_VQ");

/// Whether each of `features` has what it needs (virtio 1.3, 5.1.3.1).
constexpr bool is_complete(uint64_t features) {
    const auto has = [&](std::string_view name) {
        const Feature* const row = find_feature(name);
        return row != nullptr && (features & bit(row->number)) != 0;
    };
    return std::ranges::all_of(kFeatures, [&](const Feature& row) {
        return (features & bit(row.number)) == 0 || row.needs.empty() || has(row.needs) ||
               has(row.or_needs);
    });
}

/// The number of data queues of a device with `pairs` pairs, for a driver that negotiated
/// `features` (virtio 1.3, 5.1.2). The control queue, if any, follows them.
constexpr uint32_t data_queues(uint64_t features, uint16_t pairs) {
    return (features & kFeatureMq) != 0 ? 2U * pairs : 2U;
}

/// The features that a device offers, with or without a control queue.
uint64_t offered_features(const DeviceConfig& config, bool with_control);

inline constexpr uint8_t kStatusAcknowledge = 0x01;
inline constexpr uint8_t kStatusDriver = 0x02;
inline constexpr uint8_t kStatusDriverOk = 0x04;
inline constexpr uint8_t kStatusFeaturesOk = 0x08;

}  // namespace vduse::virtio
