// SPDX-License-Identifier: BSD-3-Clause

// Control and Device on the fake kernel: the message sequences that QEMU and virtio_vdpa were
// observed to send, hostile cases 103 to 112 and others, and what a device does with memory before
// it answers.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <numaif.h>
#include <rte_log.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "device/state.h"
#include "net/counters.h"
#include "net/header.h"
#include "support/fetch_ledger.h"
#include "support/session_rig.h"
#include "vduse/drop.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using namespace virtio;
using uapi::abi::Request;
using uapi::abi::RequestType;
using uapi::abi::Response;

constexpr uint64_t kProbe = ~uint64_t{0};  ///< all offered features

/// The NUMA node of a page that is present, or -1 if the kernel does not report it.
int node_of(void* page) {
    int node = -1;
    const long asked = ::move_pages(0, 1, &page, nullptr, &node, 0);
    return asked == 0 ? std::max(node, -1) : -1;
}

// ---- creation

TEST_F(SessionTest, WhatTheKernelIsTold) {
    ASSERT_EQ(create(), "");
    EXPECT_EQ(vd0->queues, 5U);
    EXPECT_EQ(vd0->groups, 2U);
    EXPECT_EQ(vd0->spaces.size(), 2U);
    EXPECT_EQ(vd0->features & (kWithMq | kFeatureMergeable), kWithMq | kFeatureMergeable);
    EXPECT_EQ(vd0->features & kFeatureIndirect, 0U) << "QEMU before 11 cannot shadow it";
    ConfigSpace space;
    ASSERT_EQ(vd0->config.size(), sizeof space);
    std::memcpy(&space, vd0->config.data(), sizeof space);
    EXPECT_TRUE(std::equal(kMac.begin(), kMac.end(), space.mac));
    EXPECT_EQ(space.max_virtqueue_pairs, 2);
    EXPECT_EQ(space.mtu, 1500);
    EXPECT_EQ(space.status, 0);
    for (uint32_t i = 0; i < 5; ++i) {
        EXPECT_EQ(vd0->vqs[i].max_size, i < 4 ? 1024 : 64);
        EXPECT_EQ(vd0->vqs[i].group, i < 4 ? 0U : 1U);
    }
    EXPECT_EQ(device->active_pairs(), 0);
}

TEST_F(SessionTest, FeaturesThatItsMakerDoesNotWant) {
    struct Row {
        bool DeviceConfig::*wish;
        uint64_t feature;
    };
    for (const Row& row :
         {Row{&DeviceConfig::offer_mtu, kFeatureMtu},
          Row{&DeviceConfig::mrg_rxbuf, kFeatureMergeable},
          Row{&DeviceConfig::event_idx, kFeatureEventIdx}}) {
        ASSERT_EQ(create(), "");
        const uint64_t all = vd0->features;
        EXPECT_EQ(all & row.feature, row.feature);
        ASSERT_TRUE(device->destroy());
        device.reset();
        DeviceConfig config = two_pairs();
        config.*row.wish = false;
        ASSERT_EQ(create(config), "");
        EXPECT_EQ(vd0->features, all & ~row.feature) << "that one and no other";
        ASSERT_TRUE(device->destroy());
        device.reset();
    }
}

TEST_F(SessionTest, SpeedAndDuplex) {
    for (const bool full : {true, false}) {
        DeviceConfig config = two_pairs();
        config.speed = 25000;
        config.full_duplex = full;
        ASSERT_EQ(create(config), "");
        ConfigSpace space;
        std::memcpy(&space, vd0->config.data(), sizeof space);
        EXPECT_EQ(space.speed, 25000U);
        EXPECT_EQ(space.duplex, full ? 1 : 0);
        ASSERT_TRUE(device->destroy());
        device.reset();
    }
}

TEST_F(SessionTest, WithoutControlQueue) {
    DeviceConfig config = two_pairs();
    config.queue_pairs = 1;
    config.ctrl_vq = CtrlVq::off;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->queues, 2U);
    EXPECT_EQ(vd0->groups, 1U);
    EXPECT_EQ(vd0->features & kControlFeatures, 0U);
    plain_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, KernelRefusesTheControlQueue) {
    kernel.refuse_ctrl_vq = true;
    testing::internal::CaptureStderr();
    const std::string error = create();
    std::string log = testing::internal::GetCapturedStderr();
    ASSERT_EQ(error, "");
    EXPECT_EQ(vd0->features & kControlFeatures, 0U);
    EXPECT_EQ(vd0->queues, 2U);
    EXPECT_EQ(device->queue_pairs(), 1);
    size_t warnings = 0;
    for (size_t at = 0; (at = log.find("kernel refuses VIRTIO_NET_F_CTRL_VQ", at)) != log.npos;
         ++at)
        ++warnings;
    EXPECT_EQ(warnings, 1U) << log;
    plain_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, KernelRefusesTheControlQueueThatMustBe) {
    kernel.refuse_ctrl_vq = true;
    DeviceConfig config = two_pairs();
    config.ctrl_vq = CtrlVq::on;
    const std::string error = create(config);
    EXPECT_NE(error.find("kernel refuses VIRTIO_NET_F_CTRL_VQ"), error.npos) << error;
    EXPECT_EQ(kernel.device("vd0"), nullptr) << "nothing is left behind";
}

// Cases 142, 143: each call during creation fails once.
TEST_F(SessionTest, Case142_143_EveryCallOfTheCreationFails) {
    const std::map<std::string, unsigned> calls = {
        {"open_control", 1},
        {"set_api_version", 1},
        {"get_features", 1},
        {"set_features", 1},
        {"create", 1},
        {"open_device", 1},
        {"vq_setup", 5}};
    for (const auto& [method, count] : calls)
        for (unsigned nth = 1; nth <= count; ++nth) {
            kernel.faults.fail(method, EMFILE, nth);
            EXPECT_NE(create(), "") << method << " " << nth;
            EXPECT_EQ(kernel.device("vd0"), nullptr) << method << ": a device is left behind";
            (void)(*kernel.open_control())->destroy("vd0");
        }
    EXPECT_EQ(create(), "");
}

TEST_F(SessionTest, FeaturesThatCannotBeReadAreToldFromBadOnes) {
    ASSERT_EQ(create(), "");
    char* said = nullptr;
    size_t bytes = 0;
    std::FILE* const log = ::open_memstream(&said, &bytes);
    rte_openlog_stream(log);
    kernel.faults.fail("driver_features", EIO, 1, 2);
    EXPECT_TRUE(vd0->set_status(0)) << "a reset does not depend on them";
    vd0->set_features(kWithMq);
    EXPECT_FALSE(vd0->set_status(0x0b));
    rte_openlog_stream(nullptr);
    std::fclose(log);
    EXPECT_NE(
        std::string(said).find("the features that the driver accepted cannot be read"),
        std::string::npos
    ) << said;
    std::free(said);
    EXPECT_TRUE(vd0->set_status(0x0b)) << "the next try is as good as the first";
}

TEST_F(SessionTest, TheControlQueueOfOnePairIsSetUpOnce) {
    DeviceConfig config = two_pairs();
    config.queue_pairs = 1;
    ASSERT_EQ(create(config), "");
    ASSERT_EQ(vd0->vqs[2].setups, 1U);
    EXPECT_TRUE(vd0->set_status(0));
    vd0->set_features(kWithCvq);
    EXPECT_TRUE(vd0->set_status(0x0b));
    EXPECT_EQ(vd0->vqs[2].setups, 2U);
}

// A data thread that does not leave its burst keeps the device from being destroyed. The kernel's
// requests must be answered all the same.
TEST_F(SessionTest, ADeviceThatCannotBeDestroyedStaysInService) {
    ASSERT_EQ(create(), "");
    plain_start();
    offer_from_guest(0);
    FetchLedger ledger;
    ledger.after(4, [&] {
        const auto destroyed = device->destroy();
        ASSERT_FALSE(destroyed);
        EXPECT_EQ(destroyed.error().code, ETIMEDOUT);
    });
    EXPECT_EQ(take(0), 1U);
    EXPECT_TRUE(vd0->get_vq_state(0)) << "the kernel is answered";
    settle();
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(device->destroy());
}

TEST_F(SessionTest, WrongConfigurations) {
    const auto refused = [&](auto change) {
        DeviceConfig config = two_pairs();
        change(config);
        return !create(config).empty() && kernel.device("vd0") == nullptr;
    };
    EXPECT_TRUE(refused([](auto& c) { c.name = ""; }));
    EXPECT_TRUE(refused([](auto& c) { c.name = "a/b"; }));
    EXPECT_TRUE(refused([](auto& c) { c.name = ".."; }));
    EXPECT_TRUE(refused([](auto& c) { c.name = "control"; }));
    EXPECT_TRUE(refused([](auto& c) { c.name = std::string(64, 'x'); }));
    EXPECT_TRUE(refused([](auto& c) { c.queue_pairs = 0; }));
    EXPECT_TRUE(refused([](auto& c) { c.queue_pairs = 129; }));
    EXPECT_TRUE(refused([](auto& c) { c.queue_size = 1; }));
    EXPECT_TRUE(refused([](auto& c) { c.queue_size = 1000; }));
    EXPECT_TRUE(refused([](auto& c) { c.queue_size = 65535; }));
    EXPECT_TRUE(refused([](auto& c) { c.mtu = 67; }));
    EXPECT_TRUE(refused([](auto& c) { c.mtu = 9703; }));
    EXPECT_TRUE(refused([](auto& c) { c.mac = {1, 0, 0, 0, 0, 0}; }));
    EXPECT_TRUE(refused([](auto& c) { c.ctrl_vq = CtrlVq::off; })) << "two pairs need it";
}

TEST_F(SessionTest, ADeviceLeftBehindIsMadeAnew) {
    {
        auto node = kernel.open_control();
        ASSERT_TRUE((*node)->set_api_version(1));
        const uapi::CreateParameters old{"vd0", kBase, 2, 1, 1, {}};
        ASSERT_TRUE((*node)->create(old));
    }
    ASSERT_EQ(create(), "");
    EXPECT_EQ(vd0->queues, 5U);
}

TEST_F(SessionTest, Destroy) {
    ASSERT_EQ(create(), "");
    vd0->on_bus = true;
    const auto busy = device->destroy();
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, EBUSY);
    EXPECT_NE(kernel.device("vd0"), nullptr);
    device.reset();
    vd0->on_bus = false;
    ASSERT_EQ(create(), "") << "the name can be used again";
    EXPECT_TRUE(device->destroy());
    EXPECT_EQ(kernel.device("vd0"), nullptr);
    control->run_once(0);
}

// Case 104: 128 pairs and the control queue.
TEST_F(SessionTest, Case104_LargestDevice) {
    DeviceConfig config = two_pairs();
    config.queue_pairs = kMaxPairs;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->queues, 257U);
    EXPECT_EQ(vd0->vqs[256].group, 1U);
    EXPECT_EQ(vd0->vqs[255].group, 0U);
    EXPECT_EQ(vd0->get_vq_state(256), 0);
    EXPECT_EQ(vd0->get_vq_state(257), std::nullopt);
    qemu_until_driver_ok(kWithMq, 256);
    EXPECT_TRUE(vd0->set_ready(256));
    settle();
    EXPECT_EQ(command(256, {4, 0, 128, 0}), 0U);
    EXPECT_EQ(device->active_pairs(), 128);
}

// ---- starts observed on real systems

// Findings 4 and 6: QEMU sets status 0, 8, c. The control queue must answer before any data queue
// is ready.
TEST_F(SessionTest, QemuStart) {
    ASSERT_EQ(create(), "");
    qemu_until_driver_ok(kWithMq, 4);
    EXPECT_TRUE(vd0->set_ready(4));
    settle();
    EXPECT_EQ(command(4, {1, 1, 2, 9, 9, 9, 9, 9}), 0U);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_EQ(device->active_pairs(), 2);
    EXPECT_FALSE(frame_from_guest(0)) << "not ready yet";
    for (uint32_t i = 0; i < 4; ++i)
        EXPECT_TRUE(vd0->set_ready(i));
    settle();
    EXPECT_EQ(take(0), 1U) << "what was offered before is found without a kick";
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(traffic(1));
    EXPECT_EQ(device->info().groups[1].asid, 1U);
}

TEST_F(SessionTest, WhatPeopleAreTold) {
    kernel.vduse_features |= uint64_t{1} << 9;
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(device->events().empty());
    EXPECT_EQ(device->queue_info(0)->size, 0U);
    qemu_start();
    ASSERT_TRUE(traffic(0));

    *guest.address(0).host = std::byte{1};
    const DeviceInfo info = device->info();
    EXPECT_EQ(info.api_version, 1U);
    EXPECT_EQ(info.kernel_features, kernel.vduse_features);
    ASSERT_EQ(info.spaces[0].size(), 1U);
    EXPECT_EQ(info.spaces[0][0].node, node_of(guest.address(0).host));

    const auto from = device->queue_info(1);
    ASSERT_TRUE(from);
    EXPECT_EQ(from->use, QueueUse::from_guest);
    EXPECT_EQ(from->pair, 0);
    EXPECT_EQ(from->asid, 0U);
    EXPECT_TRUE(from->ready && from->running && !from->stalled && !from->quarantined);
    EXPECT_EQ(from->size, 64U);
    EXPECT_EQ(from->desc, ring(1).layout().desc);
    EXPECT_EQ(from->driver, ring(1).layout().avail);
    EXPECT_EQ(from->device, ring(1).layout().used);
    EXPECT_EQ(from->stats.frames, 1U);
    EXPECT_EQ(device->queue_info(2)->use, QueueUse::to_guest);
    EXPECT_EQ(device->queue_info(2)->pair, 1);
    const auto cvq = device->queue_info(4);
    EXPECT_EQ(cvq->use, QueueUse::control);
    EXPECT_EQ(cvq->group, 1U);
    EXPECT_EQ(cvq->asid, 1U);
    EXPECT_TRUE(cvq->running);
    EXPECT_FALSE(device->queue_info(5));
    EXPECT_FALSE(device->queue_info(UINT32_MAX));

    const auto events = device->events();
    ASSERT_GE(events.size(), 5U);
    EXPECT_EQ(events.front().what, "SET_STATUS 0x0");
    EXPECT_EQ(events.back().what, "SET_VQ_READY queue 3 ready 1");
    EXPECT_TRUE(events.back().ok);
    EXPECT_FALSE(vd0->set_group_asid(7, 0));
    EXPECT_EQ(device->events().back().what, "SET_VQ_GROUP_ASID group 7 asid 0");
    EXPECT_FALSE(device->events().back().ok);
}

// Commands that are in the ring before the queue starts: no kick announces them.
TEST_F(SessionTest, CommandsBeforeTheKickfd) {
    ASSERT_EQ(create(), "");
    qemu_until_driver_ok(kWithMq, 4);
    *command_at.host = std::byte{4};
    std::memcpy(command_at.host, "\x04\x00\x02\x00", 4);
    for (int i = 0; i < 30; ++i)
        ring(4).offer({{command_at.iova, 4, false}, {ack_at.iova, 1, true}});
    ring(4).publish();
    EXPECT_TRUE(vd0->set_ready(4));
    settle();
    EXPECT_EQ(ring(4).used_idx(), 30);
    EXPECT_EQ(device->active_pairs(), 2);
}

// Finding 7: the kernel reports the queue ready only some time after the answer.
TEST_F(SessionTest, ReadyComesLate) {
    ASSERT_EQ(create(), "");
    vd0->ready_delay = 8;
    qemu_until_driver_ok(kWithMq, 4);
    EXPECT_TRUE(vd0->set_ready(4));
    EXPECT_FALSE(vd0->vqs[4].kickfd);
    for (int turn = 0; turn < 20 && !vd0->vqs[4].kickfd; ++turn)
        control->run_once(1);
    EXPECT_TRUE(vd0->vqs[4].kickfd);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
}

// Finding 5: firmware sets queues ready before FEATURES_OK and before any address.
TEST_F(SessionTest, FirmwareOrder) {
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_TRUE(vd0->set_ready(0));
    EXPECT_TRUE(vd0->set_ready(1));
    vd0->set_features(kBase);
    EXPECT_TRUE(vd0->set_status(0x08));
    set_up(0);
    set_up(1);
    map_guest();
    EXPECT_TRUE(vd0->set_status(0x0c));
    settle();
    EXPECT_TRUE(traffic(0));
}

// virtio_vdpa: status 0, 1, 3, b, queues ready in index order, status f. Rings are mapped without a
// message.
TEST_F(SessionTest, VirtioVdpaOrder) {
    kernel.driver = "virtio_vdpa";
    ASSERT_EQ(create(), "");
    const auto start = [&] {
        for (const uint8_t status : {uint8_t{0}, uint8_t{0}, uint8_t{1}, uint8_t{3}})
            EXPECT_TRUE(vd0->set_status(status));
        vd0->set_features(kWithMq);
        EXPECT_TRUE(vd0->set_status(0x0b));
        vd0->unmap_all(0);
        vd0->map(0, guest);
        for (uint32_t i = 0; i < 5; ++i) {
            set_up(i);
            EXPECT_TRUE(vd0->set_ready(i));
        }
        command_at = guest.address(kBuffers + 0x30000);
        ack_at = guest.address(kBuffers + 0x31000);
        EXPECT_TRUE(vd0->set_status(0x0f));
        settle();
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
        EXPECT_TRUE(traffic(0));
        EXPECT_TRUE(traffic(1));
    };
    start();
    // On unbind, virtio_vdpa makes the queues unready after the reset. That must be answered OK.
    EXPECT_TRUE(vd0->set_status(0));
    for (uint32_t i = 0; i < 5; ++i)
        EXPECT_TRUE(vd0->set_ready(i, false));
    EXPECT_TRUE(vd0->set_status(1));
    EXPECT_FALSE(device->broken());
    EXPECT_EQ(device->active_pairs(), 0);
    start();
}

// Findings 1 and 2: after a reset, groups are in space 0 for QEMU, and stay in their space for
// virtio_vdpa.
TEST_F(SessionTest, SpaceAfterAReset) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);

    // Migration: all rings are in space 0, and there is no SET_VQ_GROUP_ASID.
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_EQ(device->info().groups[1].asid, 0U);
    vd0->set_features(kWithMq);
    EXPECT_TRUE(vd0->set_status(0x0b));
    vd0->unmap_all(0);
    vd0->map(0, shadow);
    EXPECT_TRUE(vd0->update_iotlb(0));
    set_up_shadow(4);
    EXPECT_TRUE(vd0->set_status(0x0f));
    EXPECT_TRUE(vd0->set_ready(4));
    settle();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);

    // Now virtio_vdpa. Its kernel still has the group in space 1.
    EXPECT_EQ(vd0->group_asids[1], 1U);
    kernel.driver = "virtio_vdpa";
    EXPECT_TRUE(vd0->set_status(0));
    vd0->set_features(kWithMq);
    EXPECT_TRUE(vd0->set_status(0x0b));
    vd0->unmap_all(0);
    set_up_shadow(4);
    EXPECT_TRUE(vd0->set_ready(4));
    EXPECT_TRUE(vd0->set_status(0x0f));
    settle();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
}

// Finding 3: without MQ the control queue is queue 2. QEMU queries its group before it moves it.
TEST_F(SessionTest, MultiqueueOff) {
    ASSERT_EQ(create(), "");
    // QEMU's probe, with all features.
    EXPECT_TRUE(vd0->set_status(3));
    vd0->set_features(vd0->features);
    EXPECT_TRUE(vd0->set_status(0x0b));
    EXPECT_EQ(vd0->vqs[4].group, 1U);
    EXPECT_EQ(vd0->vqs[2].group, 0U);
    EXPECT_TRUE(vd0->set_status(0));

    uint32_t group_when_answered = 0;
    vd0->on_response = [&](const Request& request, const Response&) {
        if (request.status == 0x08)
            group_when_answered = vd0->vqs[2].group;
    };
    qemu_start(kWithCvq, 2);
    EXPECT_EQ(group_when_answered, 1U);
    EXPECT_EQ(vd0->vqs[0].group, 0U);
    EXPECT_EQ(vd0->vqs[1].group, 0U);
    EXPECT_EQ(command(2, {0, 1, 1}), 0U);
    EXPECT_TRUE(traffic(0));
    vd0->on_response = nullptr;

    // Back to multiqueue.
    vd0->unmap_all(0);
    vd0->unmap_all(1);
    qemu_start(kWithMq, 4);
    EXPECT_EQ(vd0->vqs[2].group, 0U);
    EXPECT_EQ(vd0->vqs[4].group, 1U);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_TRUE(traffic(1));
}

// The driver acknowledges CTRL_VQ but never sets the queue up: QEMU sets addresses and no size.
TEST_F(SessionTest, ControlQueueWithoutASize) {
    ASSERT_EQ(create(), "");
    qemu_until_driver_ok(kWithMq, 4);
    vd0->vqs[4].num = 0;
    EXPECT_TRUE(vd0->set_ready(4));
    settle();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
}

// ---- hostile and odd messages

TEST_F(SessionTest, Case103_StateOfUnknownQueues) {
    ASSERT_EQ(create(), "");
    for (const uint32_t index : {5U, 6U, 255U, 65536U, 65540U, 0xffffffffU})
        EXPECT_EQ(vd0->get_vq_state(index), std::nullopt) << index;
    for (uint32_t index = 0; index < 5; ++index)
        EXPECT_EQ(vd0->get_vq_state(index), 0);
}

TEST_F(SessionTest, StateOfQueues) {
    ASSERT_EQ(create(), "");
    qemu_start();
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(frame_from_guest(0));
    EXPECT_EQ(vd0->get_vq_state(1), 3) << "of a queue that runs";
    EXPECT_TRUE(frame_from_guest(0)) << "and goes on";
    EXPECT_TRUE(vd0->set_ready(1, false));
    EXPECT_EQ(vd0->get_vq_state(1), 4) << "of one that was stopped";
    EXPECT_TRUE(vd0->set_status(0));
    set_up(1, 64, 777);
    EXPECT_EQ(vd0->get_vq_state(1), 777) << "of one that did not start";
}

// Case 105: every status. A reset works at any time, and the device can start after it.
TEST_F(SessionTest, Case105_EveryStatus) {
    ASSERT_EQ(create(), "");
    for (unsigned status = 0; status < 256; ++status) {
        vd0->set_features(kWithMq);
        EXPECT_TRUE(vd0->set_status(static_cast<uint8_t>(status))) << status;
        EXPECT_TRUE(vd0->set_status(static_cast<uint8_t>(status)));
        EXPECT_EQ(vd0->status, status);
        if (status % 16 == 15) {
            EXPECT_TRUE(vd0->set_status(0));
            EXPECT_TRUE(vd0->set_status(0));
        }
    }
    plain_start();
    EXPECT_TRUE(traffic(0));
}

// Case 106: some queues are not ready, or were never set up.
TEST_F(SessionTest, Case106_QueuesThatAreNotThere) {
    ASSERT_EQ(create(), "");
    qemu_until_driver_ok(kWithMq, 4);
    vd0->set_vq(2, {});
    vd0->set_vq(3, {});
    for (const uint32_t index : {4U, 0U, 1U, 2U, 3U})
        EXPECT_TRUE(vd0->set_ready(index)) << "a refusal would break the device for ever";
    settle();
    EXPECT_TRUE(traffic(0));
    EXPECT_EQ(take(1), 0U);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    // The driver sets them up later.
    EXPECT_TRUE(vd0->set_ready(2, false));
    EXPECT_TRUE(vd0->set_ready(3, false));
    set_up(2);
    set_up(3);
    EXPECT_TRUE(vd0->set_ready(2));
    EXPECT_TRUE(vd0->set_ready(3));
    settle();
    EXPECT_TRUE(traffic(1));
}

TEST_F(SessionTest, Case107_FeaturesVetoed) {
    ASSERT_EQ(create(), "");
    for (const uint64_t features :
         {uint64_t{0},
          kProbe,
          kBase | bit(34),
          kBase | kFeatureIndirect,
          kFeatureVersion1,
          kFeatureAccessPlatform}) {
        EXPECT_TRUE(vd0->set_status(3));
        vd0->set_features(features);
        EXPECT_FALSE(vd0->set_status(0x0b)) << features;
        EXPECT_EQ(vd0->status, 3);
        EXPECT_EQ(device->info().features, 0U);
    }
    plain_start();
    EXPECT_TRUE(traffic(0));
}

// Case 108. A size above the queue's maximum is legal: the kernel does not enforce it.
TEST_F(SessionTest, Case108_RingSizes) {
    ASSERT_EQ(create(), "");
    for (const uint32_t size : {3U, 63U, 65535U, 65536U, 0x80000000U}) {
        plain_start(kBase, [&] { vd0->vqs[1].num = size; });
        EXPECT_TRUE(frame_to_guest(0)) << "the other queue runs";
        EXPECT_FALSE(frame_from_guest(0)) << size;
        EXPECT_FALSE(device->broken());
    }
    plain_start();
    set_up(1, 2048);
    EXPECT_TRUE(vd0->set_ready(1, false));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_TRUE(frame_from_guest(0));
}

TEST_F(SessionTest, Case109_AnyStartIndex) {
    ASSERT_EQ(create(), "");
    for (const uint16_t start : {uint16_t{0}, uint16_t{3}, uint16_t{32768}, uint16_t{65535}}) {
        plain_start(kBase, [&] {
            set_up(0, 64, start);
            set_up(1, 64, start);
        });
        EXPECT_EQ(vd0->get_vq_state(1), start);
        for (int i = 0; i < 3; ++i)
            EXPECT_TRUE(traffic(0)) << start;
        EXPECT_EQ(vd0->get_vq_state(1), static_cast<uint16_t>(start + 3));
    }
}

// Case 139: avail and used index do not match.
TEST_F(SessionTest, Case139_UsedIndexFromElsewhere) {
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(vd0->set_status(0));
    vd0->set_features(kBase);
    EXPECT_TRUE(vd0->set_status(0x0b));
    set_up(1, 64, 100);
    ring(1).write_used_idx(1000);
    map_guest();
    EXPECT_TRUE(vd0->set_status(0x0f));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_FALSE(frame_from_guest(0));
    EXPECT_EQ(ring(1).used_idx(), 1000) << "nothing was written";
}

TEST_F(SessionTest, Case110_UnknownRequests) {
    ASSERT_EQ(create(), "");
    qemu_start();
    for (const uint32_t type : {6U, 7U, 255U, 0xffffffffU}) {
        Request request{};
        request.type = type;
        const auto response = vd0->send(request);
        ASSERT_TRUE(response);
        EXPECT_EQ(response->result, uapi::abi::kResultFailed);
    }
    for (size_t field = 0; field < 4; ++field) {
        Request request{};
        request.type = static_cast<uint32_t>(RequestType::suspend);
        request.reserved[field] = 1;
        const auto response = vd0->send(request);
        ASSERT_TRUE(response);
        EXPECT_EQ(response->result, uapi::abi::kResultFailed);
    }
    EXPECT_TRUE(traffic(0)) << "nothing was suspended";
}

TEST_F(SessionTest, Case111_ReadFails) {
    ASSERT_EQ(create(), "");
    kernel.faults.fail("read_request", EINTR, 1, 3);
    EXPECT_TRUE(vd0->set_status(3));
    kernel.faults.fail("read_request", EAGAIN);
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_FALSE(device->broken());
    kernel.faults.fail("read_request", EIO);
    EXPECT_FALSE(vd0->set_status(3));
    EXPECT_TRUE(device->broken());
    const unsigned calls = kernel.faults.calls("read_request");
    settle();
    EXPECT_EQ(kernel.faults.calls("read_request"), calls) << "no spinning";
}

// The kernel timed out and marked the device as broken.
TEST_F(SessionTest, Case116_GivenUp) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_TRUE(traffic(0));
    vd0->give_up();
    settle();
    EXPECT_TRUE(device->broken());
    EXPECT_EQ(device->active_pairs(), 0);
    const unsigned calls = kernel.faults.calls("read_request");
    settle();
    EXPECT_EQ(kernel.faults.calls("read_request"), calls);
    EXPECT_TRUE(device->destroy());
}

TEST_F(SessionTest, Case112_WriteFails) {
    ASSERT_EQ(create(), "");
    DeviceConfig config = two_pairs();
    config.name = "vd1";
    auto other = control->add(config);
    ASSERT_TRUE(other);
    FakeDevice* vd1 = kernel.device("vd1");
    vd1->pump = vd0->pump;
    kernel.faults.fail("write_response", EIO);
    EXPECT_FALSE(vd0->set_status(3));
    EXPECT_TRUE(device->broken());
    EXPECT_FALSE((*other)->broken());
    EXPECT_TRUE(vd1->set_status(3)) << "others live";
}

// Trap 15: the caller was killed. This is not an error of the device. The next reset brings device
// and kernel back in step.
TEST_F(SessionTest, Case112_NobodyWaitsForTheAnswer) {
    ASSERT_EQ(create(), "");
    kernel.faults.fail("write_response", ENOENT);
    Request request{};
    request.type = static_cast<uint32_t>(RequestType::set_status);
    request.status = 3;
    const uint32_t id = vd0->queue(request);
    settle();
    EXPECT_EQ(vd0->answer(id), std::nullopt);
    vd0->kill_caller(id);
    EXPECT_FALSE(device->broken());
    plain_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, Case118_UnknownGroupsAndSpaces) {
    ASSERT_EQ(create(), "");
    EXPECT_FALSE(vd0->set_group_asid(2, 0));
    EXPECT_FALSE(vd0->set_group_asid(0, 2));
    EXPECT_FALSE(vd0->set_group_asid(0xffffffff, 0xffffffff));
    EXPECT_FALSE(vd0->update_iotlb(2));
    EXPECT_TRUE(vd0->set_group_asid(1, 1));
}

// Case 114: queued requests are answered in order.
TEST_F(SessionTest, Case114_ResetAndStartBackToBack) {
    ASSERT_EQ(create(), "");
    plain_start();
    std::vector<unsigned> answered;
    vd0->on_response = [&](const Request& request, const Response&) {
        answered.push_back(request.status);
    };
    for (const uint8_t status : {uint8_t{0}, uint8_t{3}, uint8_t{0}, uint8_t{1}}) {
        Request request{};
        request.type = static_cast<uint32_t>(RequestType::set_status);
        request.status = status;
        vd0->queue(request);
    }
    settle();
    EXPECT_EQ(answered, (std::vector<unsigned>{0, 3, 0, 1}));
    EXPECT_EQ(take(0), 0U);
}

// ---- memory

// Finding 9: an update that changes nothing, or splits the same memory differently, maps nothing.
TEST_F(SessionTest, UpdatesKeepMappings) {
    ASSERT_EQ(create(), "");
    qemu_start();
    const int fd = guest.entries()[0].memory->fd();
    const auto before = mappings_of(fd);
    EXPECT_EQ(before.size(), 2U) << "the driver's and the device's";
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_EQ(mappings_of(fd), before);
    vd0->unmap_all(0);
    vd0->map(0, 0, 0x1fffff, fd, 0, kReadWrite);
    vd0->map(0, 0x200000, kRam - 1, fd, 0x200000, kReadWrite);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_EQ(mappings_of(fd), before);
    EXPECT_TRUE(traffic(0));
    EXPECT_EQ(device->info().spaces[0].size(), 2U);
}

// Cases 123, 125: when the answer is sent, nothing accesses the removed memory any more.
TEST_F(SessionTest, Case125_RingsTakenAway) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_TRUE(traffic(0));
    const int fd = guest.entries()[0].memory->fd();
    size_t mapped_when_answered = 99;
    vd0->on_response = [&](const Request&, const Response&) {
        mapped_when_answered = mappings_of(fd).size();
    };
    vd0->unmap_all(0);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_EQ(mapped_when_answered, 1U) << "only the driver has it";
    vd0->on_response = nullptr;
    EXPECT_FALSE(frame_from_guest(0));
    EXPECT_EQ(give(0), 0U);
    EXPECT_EQ(vd0->get_vq_state(1), 1) << "the position is kept";
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U) << "the other space is untouched";
    map_guest();
    EXPECT_EQ(take(0), 1U) << "and goes on when it is there again";
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, ResetUnmapsBeforeTheAnswer) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_EQ(mappings_of(guest.entries()[0].memory->fd()).size(), 2U);
    size_t mapped = 0;
    vd0->on_response = [&](const Request&, const Response&) {
        mapped = mappings_of(guest.entries()[0].memory->fd()).size();
        for (const auto& entry : shadow.entries())
            mapped += mappings_of(entry.memory->fd()).size() - 1;
    };
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_EQ(mapped, 1U);
    vd0->on_response = nullptr;
    EXPECT_EQ(take(0), 0U);
}

// Case 31: memory that was mapped without a message is found on the first miss.
TEST_F(SessionTest, Case31_MissedMemoryIsFound) {
    ASSERT_EQ(create(), "");
    qemu_start();
    GuestMemory more;
    const AddressPair at = more.add_bytes(0x5000'0000, 0x1000);
    vd0->map(0, more);
    EXPECT_FALSE(frame_from_guest(0, at.iova));
    EXPECT_EQ(ring(1).used_idx(), 0) << "the chain waits";
    settle();
    EXPECT_EQ(take(0), 1U);
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().dropped, 0U);
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().misses, 1U);
}

TEST_F(SessionTest, Case31_MissingMemoryIsAskedForOnce) {
    ASSERT_EQ(create(), "");
    qemu_start();
    const unsigned before = kernel.faults.calls("iotlb_region");
    EXPECT_FALSE(frame_from_guest(0, 0x5000'0000));
    settle();
    EXPECT_EQ(take(0), 0U);
    EXPECT_EQ(ring(1).used_idx(), 1) << "dropped";
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().drops[size_t(Drop::malformed)], 1U);
    EXPECT_EQ(kernel.faults.calls("iotlb_region"), before + 1);
    EXPECT_FALSE(frame_from_guest(0, 0x5000'0000)) << "dropped at once, this time";
    EXPECT_EQ(ring(1).used_idx(), 2);
    EXPECT_TRUE(traffic(0));
}

// Case 122: the region that the kernel returns does not contain the address.
TEST_F(SessionTest, Case122_TheNextRegionIsNotTheOne) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_FALSE(frame_from_guest(0, kRam - 36)) << "ends in nothing";
    settle();
    EXPECT_EQ(take(0), 0U);
    EXPECT_EQ(ring(1).used_idx(), 1);
    EXPECT_TRUE(traffic(0));
}

// A miss of the control queue is resolved too.
TEST_F(SessionTest, MissOfTheControlQueue) {
    ASSERT_EQ(create(), "");
    qemu_start();
    GuestMemory more;
    command_at = more.add_bytes(0x9000, 0x1000, kRead);
    vd0->map(1, more);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
}

TEST_F(SessionTest, Case119_OddRanges) {
    ASSERT_EQ(create(), "");
    qemu_start();
    Request request{};
    request.type = static_cast<uint32_t>(RequestType::update_iotlb);
    request.iova = {5, 4, 0, 0};
    EXPECT_EQ(vd0->send(request)->result, uapi::abi::kResultFailed);
    qemu_start();
    request.iova = {5, 5, 0, 0};
    EXPECT_EQ(vd0->send(request)->result, uapi::abi::kResultOk);
    EXPECT_TRUE(traffic(0));
}

// ---- suspend

TEST_F(SessionTest, Suspend) {
    ASSERT_EQ(create(), "");
    qemu_start();
    for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(traffic(0));
    offer_from_guest(0);
    EXPECT_TRUE(vd0->suspend());
    EXPECT_TRUE(vd0->suspend()) << "twice";
    const unsigned irqs = vd0->vqs[1].irqs;
    const unsigned config_irqs = vd0->config_irqs;
    EXPECT_EQ(take(0), 0U);
    EXPECT_EQ(give(0), 0U);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0xffU);
    EXPECT_EQ(ring(1).used_idx(), 5) << "the position that QEMU restarts from";
    EXPECT_EQ(vd0->get_vq_state(1), 5);
    EXPECT_EQ(vd0->get_vq_state(0), 5);
    EXPECT_EQ(vd0->vqs[1].irqs, irqs);
    device->set_link(true);
    settle();
    EXPECT_EQ(vd0->config_irqs, config_irqs);

    // What QEMU does next: it unmaps rings that the device still holds as ready.
    vd0->unmap_all(1);
    EXPECT_TRUE(vd0->update_iotlb(1));
    EXPECT_TRUE(vd0->set_ready(0, false));
    EXPECT_TRUE(vd0->set_group_asid(1, 1));
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0xffU);
    EXPECT_TRUE(vd0->set_status(0));
    vd0->unmap_all(0);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_TRUE(vd0->set_status(3));

    // "cont": the ring continues at its old position.
    MockDriver& old = ring(1);
    vd0->set_features(kBase);
    EXPECT_TRUE(vd0->set_status(0x0b));
    vd0->set_vq(1, old.layout(), 5);
    map_guest();
    EXPECT_TRUE(vd0->set_status(0x0f));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_EQ(take(0), 1U) << "what was offered before the suspension";
}

// ---- interrupts and the configuration space

TEST_F(SessionTest, InterruptsAreTriedAgain) {
    ASSERT_EQ(create(), "");
    qemu_start();
    const unsigned before = vd0->vqs[1].irqs;
    kernel.faults.fail("inject_irq", EINVAL, 1, 3);
    EXPECT_TRUE(frame_from_guest(0));
    EXPECT_EQ(vd0->vqs[1].irqs, before);
    settle();
    EXPECT_EQ(vd0->vqs[1].irqs, before + 1);
    settle();
    EXPECT_EQ(vd0->vqs[1].irqs, before + 1);
}

// Case 82: other errors are not retried.
TEST_F(SessionTest, Case82_InterruptFails) {
    ASSERT_EQ(create(), "");
    qemu_start();
    kernel.faults.fail("inject_irq", EPERM);
    EXPECT_TRUE(frame_from_guest(0));
    const unsigned calls = kernel.faults.calls("inject_irq");
    settle();
    EXPECT_EQ(kernel.faults.calls("inject_irq"), calls);
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, MacAddressInTheConfigurationSpace) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_EQ(command(4, {1, 1, 2, 1, 2, 3, 4, 5}), 0U);
    const std::vector<uint8_t> programmed = {2, 1, 2, 3, 4, 5};
    EXPECT_TRUE(std::equal(programmed.begin(), programmed.end(), vd0->config.begin()));
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_TRUE(std::equal(kMac.begin(), kMac.end(), vd0->config.begin()));
}

TEST_F(SessionTest, MacAddressSetByTheProgram) {
    const std::array<uint8_t, 6> other = {2, 9, 8, 7, 6, 5};
    const auto shown = [&](const std::array<uint8_t, 6>& mac) {
        return std::equal(mac.begin(), mac.end(), vd0->config.begin()) && device->info().mac == mac;
    };
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(device->set_mac(other));
    EXPECT_TRUE(shown(other)) << "no driver yet";
    qemu_start();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_TRUE(shown(other));
    EXPECT_TRUE(device->set_mac(kMac));
    EXPECT_TRUE(shown(other)) << "the driver's until its reset";
    EXPECT_EQ(device->active_pairs(), 2) << "and so is what it told the control queue";
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_TRUE(shown(kMac));
    EXPECT_TRUE(vd0->set_status(0x03));
    EXPECT_TRUE(device->set_mac(other));
    EXPECT_TRUE(shown(kMac)) << "a driver that has just come";
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_TRUE(shown(other));
    const auto multicast = device->set_mac({3, 0, 0, 0, 0, 1});
    ASSERT_FALSE(multicast);
    EXPECT_EQ(multicast.error().code, EINVAL);
    EXPECT_TRUE(shown(other));
}

// The receive filter accepts the new address and no longer the old one.
TEST_F(SessionTest, MacAddressSetByTheProgramIsTheFilters) {
    const std::array<uint8_t, 6> other = {2, 9, 8, 7, 6, 5};
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(device->set_mac(other));
    qemu_start();
    EXPECT_EQ(command(4, {0, 0, 0}), 0U) << "not promiscuous";
    const auto arrives = [&](const std::array<uint8_t, 6>& to) {
        ring(0).offer({{kBuffers, 2048, true}});
        ring(0).publish();
        auto bytes = pattern(60);
        std::copy(to.begin(), to.end(), bytes.begin());
        rte_mbuf* frame = pool.frame(bytes);
        EXPECT_EQ(device->queue_pair(0).to_guest(std::span(&frame, 1)), 1U);
        return ring(0).take_used().has_value();
    };
    EXPECT_TRUE(arrives(other));
    EXPECT_FALSE(arrives(kMac));
}

// Device::mac, which any thread may call, returns nothing while no driver receives at the address.
TEST_F(SessionTest, MacAddressThatTheDriverUses) {
    using Mac = std::array<uint8_t, 6>;
    ASSERT_EQ(create(), "");
    EXPECT_EQ(device->mac(), std::nullopt) << "no driver";
    qemu_until_driver_ok(kWithMq, 4);
    EXPECT_EQ(device->mac(), kMac);
    EXPECT_TRUE(vd0->set_ready(4));
    EXPECT_EQ(command(4, {1, 1, 2, 0xfe, 3, 4, 5, 0xff}), 0U);
    EXPECT_EQ(device->mac(), (Mac{2, 0xfe, 3, 4, 5, 0xff}));
    EXPECT_TRUE(vd0->suspend());
    EXPECT_EQ(device->mac(), std::nullopt) << "it may be about to speak elsewhere";
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_EQ(device->mac(), std::nullopt);
    plain_start();
    EXPECT_EQ(device->mac(), kMac) << "a reset brings the permanent one back";
    vd0->give_up();
    settle();
    EXPECT_EQ(device->mac(), std::nullopt);
}

TEST_F(SessionTest, MacAddressThatNobodyToldOf) {
    DeviceConfig config = two_pairs();
    config.mac.reset();
    ASSERT_EQ(create(config), "");
    qemu_start();
    EXPECT_EQ(device->mac(), std::nullopt);
    EXPECT_EQ(command(4, {1, 1, 2, 1, 2, 3, 4, 5}), 0U);
    EXPECT_EQ(device->mac(), (std::array<uint8_t, 6>{2, 1, 2, 3, 4, 5}));
}

TEST_F(SessionTest, MacAddressOfADeviceMadeWithoutOne) {
    DeviceConfig config = two_pairs();
    config.mac.reset();
    ASSERT_EQ(create(config), "");
    const auto before = vd0->config;
    const auto set = device->set_mac(kMac);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code, ENOTSUP);
    EXPECT_NE(set.error().what.find("vd0"), std::string::npos);
    EXPECT_EQ(vd0->config, before);
}

// ---- options and results of data calls

TEST_F(SessionTest, FramesAsTheCallerWantsThem) {
    ASSERT_EQ(create(), "");
    plain_start();
    std::array<rte_mbuf*, 1> out;
    // The driver sends a frame. Returns the port of its mbuf, or nothing if it was dropped.
    const auto port_of = [&](uint32_t bytes, const RxOptions& options) -> std::optional<uint16_t> {
        offer_from_guest(0, kBuffers, 12 + bytes);
        if (device->queue_pair(0).from_guest(pool.get(), out, options) == 0)
            return std::nullopt;
        const uint16_t port = out[0]->port;
        rte_pktmbuf_free(out[0]);
        return port;
    };
    EXPECT_EQ(port_of(1514, {}), RTE_MBUF_PORT_INVALID);
    EXPECT_EQ(port_of(1514, {.port = 7}), 7);
    EXPECT_EQ(port_of(900, {.port = 7, .longest = 900}), 7);
    EXPECT_EQ(port_of(901, {.port = 7, .longest = 900}), std::nullopt);
    const uint32_t most = max_frame(1500);
    EXPECT_EQ(port_of(most, {.longest = 9000}), RTE_MBUF_PORT_INVALID);
    EXPECT_EQ(port_of(most + 1, {.longest = 9000}), std::nullopt) << "the device's MTU holds too";
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().drops[size_t(Drop::too_long)], 2U);
}

TEST_F(SessionTest, LinearFramesOfAJumboDevice) {
    DeviceConfig config = two_pairs();
    config.mtu = 9702;
    config.offer_mtu = false;
    ASSERT_EQ(create(config), "");
    plain_start(kBase & ~kFeatureMtu);
    const auto taken = [&](uint32_t bytes, bool linear) {
        std::array<rte_mbuf*, 1> out;
        offer_from_guest(0, kBuffers, 12 + bytes);
        const uint16_t count =
            device->queue_pair(0).from_guest(pool.get(), out, {.linear = linear});
        rte_pktmbuf_free_bulk(out.data(), count);
        return count == 1;
    };
    EXPECT_TRUE(taken(9000, false));
    EXPECT_FALSE(taken(9000, true));
    EXPECT_TRUE(taken(Pool::kRoom, true));
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().drops[size_t(Drop::too_long)], 1U);
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(SessionTest, WhatWaits) {
    ASSERT_EQ(create(), "");
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U) << "no driver";
    EXPECT_EQ(device->queue_pair(0).to_guest_waiting(), 0U);
    plain_start();
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U);
    for (int i = 0; i < 3; ++i)
        offer_from_guest(0);
    ring(0).offer({{kBuffers, 2048, true}});
    ring(0).publish();
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 3U);
    EXPECT_EQ(device->queue_pair(0).to_guest_waiting(), 1U);
    EXPECT_EQ(device->queue_pair(1).from_guest_waiting(), 0U) << "not served";
    EXPECT_EQ(take(0), 3U);
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U);
    EXPECT_EQ(give(0), 1U);
    EXPECT_EQ(device->queue_pair(0).to_guest_waiting(), 0U);
    offer_from_guest(0);
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U) << "stopped";
}

TEST_F(SessionTest, Case07_WhatWaitsIsBoundedByTheRing) {
    ASSERT_EQ(create(), "");
    plain_start();
    for (const uint32_t index : {0U, 1U})
        ring(index).write_avail_idx(1000);
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 64U);
    EXPECT_EQ(device->queue_pair(0).to_guest_waiting(), 64U);
    EXPECT_EQ(take(0), 0U);
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U) << "quarantined";
    settle();
    EXPECT_EQ(device->queue_pair(0).from_guest_waiting(), 0U) << "and stopped";
}

TEST_F(SessionTest, Link) {
    ASSERT_EQ(create(), "");
    const auto link = [&] { return vd0->config[6] & 1; };
    device->set_link(true);
    EXPECT_EQ(link(), 1);
    EXPECT_EQ(vd0->config_irqs, 0U) << "no driver yet";
    qemu_start();
    device->set_link(false);
    EXPECT_EQ(link(), 0);
    EXPECT_EQ(vd0->config_irqs, 1U);
    device->set_link(false);
    EXPECT_EQ(vd0->config_irqs, 1U) << "nothing changed";
    kernel.faults.fail("inject_config_irq", EINVAL);
    device->set_link(true);
    settle();
    EXPECT_EQ(vd0->config_irqs, 2U) << "tried again";
    for (const FakeDevice::ConfigWrite& write : vd0->config_writes)
        EXPECT_TRUE(write.bytes.size() == 2 || write.bytes.size() == 6) << "single fields";
}

// QUAR: the queue stops and the link goes down. Everything else keeps working. A reset clears it.
TEST_F(SessionTest, QuarantinedQueue) {
    ASSERT_EQ(create(), "");
    device->set_link(true);
    qemu_start();
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    const unsigned irqs = vd0->config_irqs;
    ring(1).write_avail_idx(1000);
    EXPECT_EQ(take(0), 0U);
    settle();
    EXPECT_FALSE(device->info().link_up);
    EXPECT_EQ(vd0->config_irqs, irqs + 1);
    EXPECT_TRUE(frame_to_guest(0)) << "the pair's other queue";
    EXPECT_TRUE(traffic(1));
    EXPECT_EQ(command(4, {4, 0, 1, 0}), 0U);
    EXPECT_TRUE(vd0->set_ready(1, false));
    EXPECT_TRUE(vd0->set_ready(1));
    EXPECT_TRUE(vd0->update_iotlb(0));
    settle();
    EXPECT_EQ(take(0), 0U) << "until a reset";
    plain_start();
    EXPECT_TRUE(device->info().link_up);
    EXPECT_TRUE(traffic(0));
}

TEST_F(SessionTest, FramesGoToActivePairsOnly) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_EQ(device->active_pairs(), 1);
    ring(2).offer({{kBuffers, 2048, true}});
    ring(2).publish();
    EXPECT_EQ(give(1), 0U);
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_EQ(give(1), 1U);
    EXPECT_EQ(command(4, {4, 0, 1, 0}), 0U);
    EXPECT_EQ(give(1), 0U);
}

// VIRTIO_NET_CTRL_STATS_GET uses the driver's queue indexes and returns the counters of each queue.
TEST_F(SessionTest, StatisticsOfEachQueue) {
    DeviceConfig config = two_pairs();
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->features & kFeatureDeviceStats, 0U) << "QEMU would not isolate the queue";
    EXPECT_TRUE(device->destroy());
    config.profile = Profile::full;
    ASSERT_EQ(create(config), "");
    qemu_start(kWithMq | kFeatureDeviceStats);
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(frame_from_guest(1));
    EXPECT_TRUE(frame_to_guest(0));
    /// The number of frames in the statistics record of a queue.
    const auto frames_of = [this](uint8_t queue, uint8_t type) {
        std::vector<uint8_t> bytes(2 + 16);
        bytes[0] = 8;
        bytes[1] = 1;
        bytes[2] = queue;
        bytes[10 + type / 8] = static_cast<uint8_t>(1U << type % 8);
        std::memcpy(command_at.host, bytes.data(), bytes.size());
        ring(4).offer(
            {{command_at.iova, static_cast<uint32_t>(bytes.size()), false},
             {ack_at.iova, 1, true},
             {ack_at.iova + 8, 56, true}}
        );
        ring(4).publish();
        vd0->kick(4);
        settle();
        const auto used = ring(4).take_used();
        uint64_t frames = ~uint64_t{0};
        if (used && used->len == 57 && *ack_at.host == std::byte{0})
            std::memcpy(&frames, ack_at.host + 8 + 8 + 8, sizeof frames);
        return frames;
    };
    EXPECT_EQ(frames_of(0, 0), 1U);
    EXPECT_EQ(frames_of(1, 16), 0U);
    EXPECT_EQ(frames_of(2, 0), 0U);
    EXPECT_EQ(frames_of(3, 16), 3U);
    EXPECT_EQ(frames_of(3, 0), ~uint64_t{0}) << "not of that queue";
    EXPECT_EQ(device->info().commands, 6U);
    EXPECT_EQ(device->info().refused, 1U);
}

TEST_F(SessionTest, FilterOfTheControlQueueIsApplied) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_TRUE(frame_to_guest(0));
    EXPECT_EQ(command(4, {0, 0, 0}), 0U);
    ring(0).offer({{kBuffers, 2048, true}});
    ring(0).publish();
    EXPECT_EQ(give(0), 1U) << "taken and dropped";
    EXPECT_EQ(device->queue_pair(0).to_guest_stats().drops[size_t(Drop::filtered)], 1U);
    EXPECT_EQ(ring(0).take_used(), std::nullopt);
}

// Two devices of one process share nothing.
TEST_F(SessionTest, TwoDevices) {
    ASSERT_EQ(create(), "");
    DeviceConfig config = two_pairs();
    config.name = "vd1";
    auto other = control->add(config);
    ASSERT_TRUE(other);
    FakeDevice* vd1 = kernel.device("vd1");
    vd1->pump = vd0->pump;
    qemu_start();
    vd1->map(0, guest);
    EXPECT_TRUE(vd1->update_iotlb(0));
    EXPECT_TRUE(vd1->set_status(0));
    EXPECT_TRUE(traffic(0));
    EXPECT_EQ((*other)->active_pairs(), 0);
    EXPECT_TRUE((*other)->destroy());
    EXPECT_TRUE(traffic(0));
}

// Case 113: repeating the same messages leaks nothing.
TEST_F(SessionTest, Case113_Repetitions) {
    ASSERT_EQ(create(), "");
    const auto fds = [] {
        size_t count = 0;
        for (int fd = 0; fd < 256; ++fd)
            count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
        return count;
    };
    qemu_start();
    size_t before = 0;
    for (int round = 0; round < 20; ++round) {
        vd0->unmap_all(0);
        vd0->unmap_all(1);
        qemu_start();
        for (int i = 0; i < 10; ++i)
            EXPECT_TRUE(vd0->update_iotlb(0));
        EXPECT_TRUE(traffic(0));
        if (round == 0)
            before = fds();
    }
    EXPECT_EQ(fds(), before);
    EXPECT_EQ(mappings_of(guest.entries()[0].memory->fd()).size(), 2U);
}

}  // namespace
}  // namespace vduse::test
