// Names of feature and status bits.
#include <gtest/gtest.h>

#include "device/shape.h"
#include "vduse/device.h"
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

TEST(Names, EverythingThatWeOfferHasOne) {
    DeviceConfig config;
    config.queue_pairs = 2;
    config.mac = {2, 0, 0, 0, 0, 1};
    config.profile = Profile::full;
    for (const auto& name : feature_names(device::shape_of(config, true).offered))
        EXPECT_FALSE(name.starts_with("bit")) << name;
}

}  // namespace
}  // namespace vduse
