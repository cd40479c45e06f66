// SPDX-License-Identifier: BSD-3-Clause

// The table of features: its rows, and what a device offers as a result. Names of feature bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "options/keys.h"
#include "vduse/config.h"
#include "vduse/info.h"
#include "virtio/features.h"

namespace vduse {
namespace {

using Names = std::vector<std::string>;

TEST(Names, LowestBitFirst) {
    EXPECT_EQ(
        feature_names(virtio::kFeatureSpeedDuplex | virtio::kFeatureVersion1 | virtio::kFeatureMtu),
        (Names{"MTU", "VERSION_1", "SPEED_DUPLEX"})
    );
    EXPECT_EQ(status_names(0x0f), (Names{"ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK"}));
    EXPECT_EQ(kernel_feature_names(3), (Names{"QUEUE_READY", "SUSPEND"}));
    EXPECT_EQ(feature_names(0), Names{});
}

TEST(Names, UnknownBitsAreNumbered) {
    EXPECT_EQ(feature_names(uint64_t{1} << 40), Names{"bit40"});
    EXPECT_EQ(status_names(0x80), Names{"bit7"});
    EXPECT_EQ(kernel_feature_names(uint64_t{1} << 63), Names{"bit63"});
}

/// A device that offers all features.
DeviceConfig all() {
    DeviceConfig config;
    config.queue_pairs = 2;
    config.mac = {2, 0, 0, 0, 0, 1};
    config.profile = Profile::full;
    return config;
}

uint64_t all_bits() {
    uint64_t bits = 0;
    for (const virtio::Feature& row : virtio::kFeatures)
        bits |= virtio::bit(row.number);
    return bits;
}

TEST(Features, RowsAreInOrder) {
    std::set<std::string_view> names;
    std::set<unsigned> numbers;
    unsigned least = 0;
    for (const virtio::Feature& row : virtio::kFeatures) {
        // A row that needs one with a higher number comes after it.
        const bool early =
            row.number < least && (!row.needs.empty() || !row.useless_without.empty());
        EXPECT_TRUE(early || row.number >= least) << row.name << ": by number";
        least = std::max(least, row.number + 1);
        EXPECT_TRUE(numbers.insert(row.number).second) << row.name << ": each once";
        EXPECT_TRUE(row.needs.empty() || names.contains(row.needs)) << row.name;
        EXPECT_TRUE(row.or_needs.empty() || names.contains(row.or_needs)) << row.name;
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_TRUE(row.key.empty() || row.member != nullptr) << row.name << ": a key of nothing";
    }
}

TEST(Features, NumbersOfTheSpecification) {
    EXPECT_EQ(virtio::kFeatureMtu, uint64_t{1} << 3);
    EXPECT_EQ(virtio::kFeatureMergeable, uint64_t{1} << 15);
    EXPECT_EQ(virtio::kFeatureEventIdx, uint64_t{1} << 29);
    EXPECT_EQ(virtio::kFeatureSpeedDuplex, uint64_t{1} << 63);
    EXPECT_EQ(virtio::kControlFeatures, uint64_t{0xde} << 16 | 1U << 2 | uint64_t{1} << 50);
}

TEST(Features, AllAreOfferedWhereNothingStandsAgainstIt) {
    EXPECT_EQ(virtio::offered_features(all(), true), all_bits());
}

TEST(Features, WithoutWhatTheyNeed) {
    EXPECT_EQ(virtio::offered_features(all(), false), all_bits() & ~virtio::kControlFeatures);
}

// An option turns off its own feature and those that need it, and no other.
TEST(Features, ASwitchTurnsOffItsOwnAlone) {
    const auto without = [](bool DeviceConfig::*member) {
        DeviceConfig config = all();
        config.*member = false;
        return all_bits() & ~virtio::offered_features(config, true);
    };
    const uint64_t large = 0b11'1011'1000'0000;
    EXPECT_EQ(without(&DeviceConfig::csum), large | 0b111);
    EXPECT_EQ(without(&DeviceConfig::tso), large);
    EXPECT_EQ(without(&DeviceConfig::offer_mtu), virtio::kFeatureMtu);
    EXPECT_EQ(without(&DeviceConfig::mrg_rxbuf), virtio::kFeatureMergeable);
    EXPECT_EQ(without(&DeviceConfig::event_idx), virtio::kFeatureEventIdx);
}

// Virtio 1.3, 5.1.3.1.
TEST(Features, WhatEachNeeds) {
    using namespace virtio;
    const std::vector<std::pair<uint64_t, std::vector<uint64_t>>> needs = {
        {kFeatureGuestTso4, {kFeatureGuestCsum}},
        {kFeatureGuestTso6, {kFeatureGuestCsum}},
        {kFeatureGuestEcn,
         {kFeatureGuestTso4 | kFeatureGuestCsum, kFeatureGuestTso6 | kFeatureGuestCsum}},
        {kFeatureHostTso4, {kFeatureCsum}},
        {kFeatureHostTso6, {kFeatureCsum}},
        {kFeatureHostEcn, {kFeatureHostTso4 | kFeatureCsum, kFeatureHostTso6 | kFeatureCsum}},
        {kFeatureCtrlRx, {kFeatureCtrlVq}},
        {kFeatureCtrlVlan, {kFeatureCtrlVq}},
        {kFeatureMq, {kFeatureCtrlVq}},
        {kFeatureCtrlMacAddr, {kFeatureCtrlVq}}};
    uint64_t dependent = 0;
    for (const auto& [feature, ways] : needs) {
        dependent |= feature;
        EXPECT_FALSE(is_complete(feature)) << feature;
        uint64_t all_ways = 0;
        for (const uint64_t way : ways) {
            EXPECT_TRUE(is_complete(feature | way)) << feature;
            all_ways |= way;
        }
        // All other features together do not replace them.
        uint64_t others = all_bits() & ~all_ways;
        for (const auto& [other, unused] : needs)
            if (other != feature)
                others &= ~other;
        EXPECT_FALSE(is_complete(others | feature)) << feature;
    }
    EXPECT_TRUE(is_complete(0));
    // QEMU with ctrl_vq=off still passes these to a guest.
    EXPECT_TRUE(is_complete(kFeatureCtrlGuestOffloads | kFeatureCtrlRxExtra | kFeatureDeviceStats));
    EXPECT_TRUE(is_complete(all_bits()));
    EXPECT_TRUE(is_complete(all_bits() & ~dependent));
    // Features of one direction do not count for the other.
    EXPECT_FALSE(is_complete(kFeatureCsum | kFeatureGuestTso4));
    EXPECT_FALSE(is_complete(kFeatureGuestCsum | kFeatureHostTso4));
    EXPECT_FALSE(is_complete(kFeatureCsum | kFeatureHostTso4 | kFeatureGuestEcn));
}

TEST(Features, WhatTheConfigurationHasNo) {
    DeviceConfig config = all();
    config.mac.reset();
    config.queue_pairs = 1;
    EXPECT_EQ(
        virtio::offered_features(config, true),
        all_bits() & ~(virtio::kFeatureMac | virtio::kFeatureMq)
    );
}

TEST(Features, AMigratableDeviceOffersWhatEveryQemuShadows) {
    DeviceConfig config = all();
    EXPECT_EQ(keys::least_qemu(config), virtio::kNoQemu);
    config.profile = Profile::migratable;
    EXPECT_EQ(
        virtio::offered_features(config, true),
        all_bits() & ~(virtio::kFeatureIndirect | virtio::kFeatureDeviceStats)
    );
    EXPECT_EQ(keys::least_qemu(config), 0U);
}

// Features that no QEMU shadows are not offered to QEMU, whatever the options say.
TEST(Features, QemuIsNotOfferedWhatItNeverShadows) {
    DeviceConfig config = all();
    config.attach = Attach::vhost;
    EXPECT_EQ(virtio::offered_features(config, true), all_bits() & ~virtio::kFeatureDeviceStats);
    EXPECT_EQ(keys::least_qemu(config), 11U);
    config.attach = Attach::virtio;
    EXPECT_EQ(virtio::offered_features(config, true), all_bits());
}

TEST(Features, Keys) {
    EXPECT_EQ(
        keys::feature_keys(), (std::vector<parse::Text>{"csum", "tso", "mrg_rxbuf", "event_idx"})
    );
    EXPECT_EQ(keys::feature_member("csum"), &DeviceConfig::csum);
    EXPECT_EQ(keys::feature_member("tso"), &DeviceConfig::tso);
    EXPECT_EQ(keys::feature_member("event_idx"), &DeviceConfig::event_idx);
    EXPECT_EQ(keys::feature_member("mtu"), nullptr);
    EXPECT_EQ(keys::feature_member(""), nullptr);
}

}  // namespace
}  // namespace vduse
