// SPDX-License-Identifier: BSD-3-Clause

// Queue pairs with their own group and address space (groups=per-pair): a group moves alone, and
// the memory that it leaves is not accessed any more.
#include "support/session_rig.h"
#include "vduse/info.h"

namespace vduse::test {
namespace {

using namespace virtio;

class GroupsTest : public SessionTest {
  protected:
    GuestMemory other;  ///< space 2: a second guest memory at the same addresses

    GroupsTest() { other.add(0, kRam - 1); }

    static DeviceConfig per_pair() {
        DeviceConfig config = two_pairs();
        config.groups = Groups::per_pair;
        return config;
    }
    [[nodiscard]] std::vector<std::byte> bytes_of(const GuestMemory& memory) const {
        std::vector<std::byte> bytes(kRam);
        memory.read(0, bytes.data(), bytes.size());
        return bytes;
    }
    /// The driver makes a new, empty ring for queue `index` in the other memory.
    void set_up_in_other(uint32_t index, uint16_t start) {
        rings.erase(index);
        rings.try_emplace(
            index,
            RingAreas::behind(other.address((index + 1) * kRingStep), 64),
            MockDriver::Options{.size = 64, .event_idx = false, .start = start}
        );
    }
};

TEST_F(GroupsTest, WhatTheKernelIsTold) {
    ASSERT_EQ(create(per_pair()), "");
    EXPECT_EQ(vd0->groups, 3U);
    EXPECT_EQ(vd0->spaces.size(), 3U);
    std::vector<uint32_t> groups;
    for (uint32_t i = 0; i < 5; ++i)
        groups.push_back(vd0->vqs[i].group);
    EXPECT_EQ(groups, (std::vector<uint32_t>{0, 0, 1, 1, 2}));
}

TEST_F(GroupsTest, AsManySpacesAsAskedFor) {
    DeviceConfig config = per_pair();
    config.spaces = 1;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->spaces.size(), 1U);
    EXPECT_FALSE(vd0->set_group_asid(1, 1));
    ASSERT_TRUE(device->destroy());
    device.reset();

    config.spaces = 129;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->spaces.size(), 129U);
    EXPECT_TRUE(vd0->set_group_asid(2, 128));
    EXPECT_FALSE(vd0->set_group_asid(2, 129));
    EXPECT_EQ(device->info().spaces.size(), 129U);
    ASSERT_TRUE(device->destroy());
    device.reset();

    config.spaces = 130;
    EXPECT_NE(create(config).find("as: 1 to 129"), std::string::npos);
}

TEST_F(GroupsTest, TheLargestDevice) {
    DeviceConfig config = per_pair();
    config.queue_pairs = 128;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->groups, 129U);
    EXPECT_EQ(vd0->vqs[255].group, 127U);
    EXPECT_EQ(vd0->vqs[256].group, 128U);
}

// QEMU finds the control queue alone in its group, regardless of other groups, and isolates it.
TEST_F(GroupsTest, QemuIsolatesTheControlQueue) {
    ASSERT_EQ(create(per_pair()), "");
    qemu_start();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(traffic(1));
    const DeviceInfo info = device->info();
    ASSERT_EQ(info.groups.size(), 3U);
    EXPECT_EQ(info.groups[1].first_queue, 2U);
    EXPECT_EQ(info.groups[1].last_queue, 3U);
    EXPECT_TRUE(info.groups[2].control);
    EXPECT_EQ(info.groups[2].asid, 1U);
}

TEST_F(GroupsTest, WithoutMultiqueueQueue2IsTheControlQueue) {
    ASSERT_EQ(create(per_pair()), "");
    qemu_until_driver_ok(kWithCvq, 2);
    EXPECT_EQ(vd0->vqs[2].group, 2U);
    EXPECT_TRUE(vd0->set_ready(2));
    EXPECT_TRUE(vd0->set_ready(0));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_EQ(command(2, {0, 0, 1}), 0U);
    EXPECT_TRUE(traffic(0));
    const DeviceInfo info = device->info();
    EXPECT_EQ(info.groups[1].first_queue, 3U);
    EXPECT_EQ(info.groups[2].first_queue, 2U);
}

TEST_F(GroupsTest, AGroupMovesAlone) {
    ASSERT_EQ(create(per_pair()), "");
    qemu_start();
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    ASSERT_TRUE(traffic(0));
    ASSERT_TRUE(traffic(1));
    vd0->map(2, other);
    ASSERT_TRUE(vd0->update_iotlb(2));
    // Chains offered here stay in the old space and are never served.
    offer_from_guest(1);
    ring(2).offer({{kBuffers, 2048, true}});
    ring(2).publish();
    const auto before = bytes_of(guest);
    for (const uint32_t index : {2U, 3U})
        set_up_in_other(index, *vd0->get_vq_state(index));

    ASSERT_TRUE(vd0->set_group_asid(1, 2));
    settle();
    EXPECT_EQ(device->queue_info(3)->asid, 2U);
    EXPECT_EQ(device->queue_info(1)->asid, 0U);
    for (int i = 0; i < 10; ++i)
        EXPECT_TRUE(traffic(1));
    EXPECT_EQ(bytes_of(guest), before) << "the old space was touched";
    EXPECT_TRUE(traffic(0)) << "the other pair stayed where it was";
    EXPECT_EQ(command(4, {4, 0, 1, 0}), 0U);
}

// A space without groups can be unmapped, and is empty when a group returns.
TEST_F(GroupsTest, TheSpaceLeftBehindMayGo) {
    ASSERT_EQ(create(per_pair()), "");
    qemu_start();
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    vd0->map(2, other);
    ASSERT_TRUE(vd0->update_iotlb(2));
    for (const uint32_t index : {2U, 3U})
        set_up_in_other(index, *vd0->get_vq_state(index));
    ASSERT_TRUE(vd0->set_group_asid(1, 2));
    vd0->unmap_all(0);
    ASSERT_TRUE(vd0->update_iotlb(0));
    EXPECT_TRUE(traffic(1));
    EXPECT_FALSE(frame_from_guest(0));
    EXPECT_EQ(mappings_of(guest.entries()[0].memory->fd()).size(), 1U) << "only the driver's";
    map_guest();
    EXPECT_EQ(take(0), 1U) << "what waited while its memory was away";
}

}  // namespace
}  // namespace vduse::test
