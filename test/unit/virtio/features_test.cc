// The table of features: what it says of each, and what follows for a device. Names of bits.
#include <gtest/gtest.h>

#include <set>

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

/// A device that offers all that there is.
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
    unsigned least = 0;
    for (const virtio::Feature& row : virtio::kFeatures) {
        EXPECT_GE(row.number, least) << row.name << ": by number, and each once";
        least = row.number + 1;
        EXPECT_TRUE(row.needs.empty() || names.contains(row.needs)) << row.name;
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_TRUE(row.key.empty() || row.member != nullptr) << row.name << ": a key of nothing";
    }
}

TEST(Features, NumbersOfTheSpecification) {
    EXPECT_EQ(virtio::kFeatureMtu, uint64_t{1} << 3);
    EXPECT_EQ(virtio::kFeatureMergeable, uint64_t{1} << 15);
    EXPECT_EQ(virtio::kFeatureEventIdx, uint64_t{1} << 29);
    EXPECT_EQ(virtio::kFeatureSpeedDuplex, uint64_t{1} << 63);
    EXPECT_EQ(virtio::kControlFeatures, uint64_t{0xde} << 16);
}

TEST(Features, AllAreOfferedWhereNothingStandsAgainstIt) {
    EXPECT_EQ(virtio::offered_features(all(), true), all_bits());
}

TEST(Features, WithoutWhatTheyNeed) {
    EXPECT_EQ(virtio::offered_features(all(), false), all_bits() & ~virtio::kControlFeatures);
}

TEST(Features, ASwitchTurnsOffItsOwnAlone) {
    for (const virtio::Feature& row : virtio::kFeatures) {
        if (row.member == nullptr)
            continue;
        DeviceConfig config = all();
        config.*row.member = false;
        EXPECT_EQ(virtio::offered_features(config, true), all_bits() & ~virtio::bit(row.number));
    }
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
    EXPECT_EQ(keys::least_qemu(config), 11U);
    config.profile = Profile::migratable;
    EXPECT_EQ(virtio::offered_features(config, true), all_bits() & ~virtio::kFeatureIndirect);
    EXPECT_EQ(keys::least_qemu(config), 0U);
}

TEST(Features, Keys) {
    EXPECT_EQ(keys::feature_keys(), (std::vector<parse::Text>{"mrg_rxbuf", "event_idx"}));
    EXPECT_EQ(keys::feature_member("event_idx"), &DeviceConfig::event_idx);
    EXPECT_EQ(keys::feature_member("mtu"), nullptr);
    EXPECT_EQ(keys::feature_member(""), nullptr);
}

}  // namespace
}  // namespace vduse
