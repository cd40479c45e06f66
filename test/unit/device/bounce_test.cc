// SPDX-License-Identifier: BSD-3-Clause

// How much bounce memory is requested from the kernel for each kind of device
// (lib/device/bounce.h).
#include "device/bounce.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "device/shape.h"
#include "support/session_rig.h"
#include "vduse/limits.h"

namespace vduse::device {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class Bounce : public test::SessionTest {
  protected:
    static DeviceConfig netdev(uint16_t pairs) {
        DeviceConfig config;
        config.name = "vd0";
        config.queue_pairs = pairs;
        config.attach = Attach::virtio;
        return config;
    }
    /// Creates a device of `config`. Returns its bytes of bounce memory per address space.
    uint64_t room(const DeviceConfig& config) {
        EXPECT_EQ(create(config), "");
        return vd0->bounce_size / vd0->spaces.size();
    }
    /// Bytes of a ring entry: a frame with its header.
    static uint32_t frame(uint16_t mtu) { return 12 + max_frame(mtu); }
    [[nodiscard]] uint16_t ring() const { return vd0->vqs[0].max_size; }
};

TEST_F(Bounce, ReceiveRingsLeaveRoomToSendWith) {
    // Each received frame takes one page. A sent frame takes one page with an MTU of 1500, and four
    // with an MTU of 9000.
    EXPECT_EQ(bounce_need(8, 1024, frame(1500)), 64 * kMiB + kMiB);
    EXPECT_EQ(bounce_need(8, 1024, frame(9000)), 160 * kMiB + kMiB);
    EXPECT_EQ(bounce_need(1, 256, frame(4062)), 2 * kMiB + kMiB);
    EXPECT_EQ(bounce_need(1, 256, frame(4063)), 3 * kMiB + kMiB);
}

TEST_F(Bounce, LargeFramesInFlightCount) {
    DeviceConfig config = netdev(8);
    EXPECT_EQ(bounce_entry(config), 32 * 1024U) << "an entry for each piece of memory";
    EXPECT_GE(room(config), bounce_need(8, 1024, 32 * 1024));
    config.profile = Profile::full;
    EXPECT_GE(bounce_entry(config), 64 * 1024U) << "an entry for a whole frame";
    config.tso = false;
    EXPECT_EQ(bounce_entry(config), frame(1500));
}

TEST_F(Bounce, ANetdevHasOneAddressSpaceAndAllOfTheMemory) {
    EXPECT_GE(room(netdev(8)), bounce_need(8, 1024, frame(1500)));
    EXPECT_EQ(vd0->spaces.size(), 1U);
    EXPECT_EQ(ring(), 1024);
}

TEST_F(Bounce, EachPairAGroupChangesNothingForANetdev) {
    DeviceConfig config = netdev(16);
    config.groups = Groups::per_pair;
    EXPECT_GE(room(config), bounce_need(16, 1024, frame(1500)));
    EXPECT_EQ(vd0->groups, 17U);
    EXPECT_EQ(vd0->spaces.size(), 1U);
}

TEST_F(Bounce, EverySpaceThatWasAskedForCanHoldAllRings) {
    DeviceConfig config = netdev(4);
    config.groups = Groups::per_pair;
    config.spaces = 5;
    EXPECT_GE(room(config), bounce_need(4, 1024, frame(1500)));
    EXPECT_EQ(vd0->spaces.size(), 5U);
}

TEST_F(Bounce, JumboFramesInFlightCount) {
    DeviceConfig config = netdev(8);
    config.mtu = 9000;
    EXPECT_GE(room(config), bounce_need(8, 1024, frame(9000)));
}

TEST_F(Bounce, ADeviceThatNobodyHasAttachedYetMayBecomeANetdev) {
    DeviceConfig config = netdev(8);
    config.attach = Attach::none;
    EXPECT_GE(room(config), bounce_need(8, 1024, frame(1500)));
    EXPECT_EQ(vd0->spaces.size(), 2U);
}

TEST_F(Bounce, OneForQemuNeedsNone) {
    DeviceConfig config = netdev(128);
    config.attach = Attach::vhost;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->bounce_size, 64 * kMiB);
    EXPECT_EQ(ring(), 1024);
    EXPECT_EQ(kernel.faults.calls("set_bounce_size"), 0U);
}

TEST_F(Bounce, ASmallDeviceKeepsTheKernelsDefault) {
    ASSERT_EQ(create(netdev(1)), "");
    EXPECT_EQ(vd0->bounce_size, 64 * kMiB);
}

TEST_F(Bounce, SmallerRingsWhereTheKernelsMostIsNotEnough) {
    EXPECT_GE(room(netdev(128)), bounce_need(128, 512, frame(1500)));
    EXPECT_EQ(vd0->bounce_size, 1024 * kMiB);
    EXPECT_EQ(ring(), 512);
}

TEST_F(Bounce, RingsThatWereAskedForStayAndTheLineSaysWhatWouldDo) {
    DeviceConfig config = netdev(128);
    config.queue_size = 1024;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(ring(), 1024);
    const auto plan = plan_bounce(kernel, config, shape_of(config, true));
    ASSERT_TRUE(plan);
    EXPECT_NE(
        plan->note.find("128 queue pairs with rings of 1024 need 1025 MiB"), std::string::npos
    ) << plan->note;
    EXPECT_NE(plan->note.find("queue_size=512"), std::string::npos) << plan->note;
}

TEST_F(Bounce, WithoutTheAttributeRingsFitTheDefault) {
    kernel.has_bounce_size = false;
    ASSERT_EQ(create(netdev(16)), "");
    EXPECT_EQ(ring(), 256);
    EXPECT_LE(bounce_need(16, 256, frame(1500)), 64 * kMiB);
    EXPECT_GT(bounce_need(16, 512, frame(1500)), 64 * kMiB);
}

TEST_F(Bounce, AnAttributeThatCannotBeWrittenIsSaid) {
    kernel.faults.fail("set_bounce_size", EACCES, 1, 100);
    DeviceConfig config = netdev(16);
    config.queue_size = 1024;
    ASSERT_EQ(create(config), "");
    const auto plan = plan_bounce(kernel, config, shape_of(config, true));
    ASSERT_TRUE(plan);
    EXPECT_NE(plan->note.find("there are 64 MiB"), std::string::npos) << plan->note;
    EXPECT_NE(
        plan->note.find("bounce_size that this process may write, or queue_size=256"),
        std::string::npos
    ) << plan->note;
}

TEST_F(Bounce, OfManySpacesTheLineSaysWhichOptionWouldDo) {
    DeviceConfig config = netdev(16);
    config.attach = Attach::none;
    config.groups = Groups::per_pair;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(ring(), 1024) << "it may be QEMU's";
    auto plan = plan_bounce(kernel, config, shape_of(config, true));
    ASSERT_TRUE(plan);
    EXPECT_NE(plan->note.find("attach=virtio"), std::string::npos) << plan->note;
    config.spaces = 17;
    plan = plan_bounce(kernel, config, shape_of(config, true));
    ASSERT_TRUE(plan);
    EXPECT_NE(plan->note.find("as=1"), std::string::npos) << plan->note;
}

TEST_F(Bounce, ASizeByHandIsTakenOrAnError) {
    DeviceConfig config = netdev(1);
    config.bounce = 2 * kMiB;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->bounce_size, 2 * kMiB);
    EXPECT_EQ(ring(), 128) << "smaller rings rather than a dead device";

    device.reset();
    kernel.faults.fail("set_bounce_size", EACCES);
    config.name = "vd1";
    const std::string error = create(config);
    EXPECT_NE(error.find("bounce=2097152: "), std::string::npos) << error;
    EXPECT_EQ(kernel.device("vd1"), nullptr) << "nothing is left behind";
}

}  // namespace
}  // namespace vduse::device
