// SPDX-License-Identifier: BSD-3-Clause

// Driver and device in their own threads, mainly for ThreadSanitizer: a ring in one mapping that
// both use, and a device whose control thread stops queues while its data thread uses them.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/guest.h"
#include "device/state.h"
#include "support/eal.h"
#include "support/fake_kernel.h"
#include "support/ring_rig.h"
#include "vduse/device.h"
#include "vduse/limits.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

class RingThreads : public testing::TestWithParam<bool> {};

// The device reads what the driver wrote before it published, and vice versa.
TEST_P(RingThreads, BytesAreOrderedByTheIndexes) {
    constexpr uint32_t kChains = 20000;
    RingRig rig({.size = 64, .event_idx = GetParam()});
    ASSERT_TRUE(rig.started);
    const auto place = [](uint32_t number) {
        return RingRig::kBuffers + number % 64 * sizeof(uint64_t);
    };
    uint64_t wrong_in_device = 0;
    std::thread device([&] {
        for (uint32_t done = 0; done < kChains;) {
            done % 2 == 0 ? rig.ring.refuse_kicks() : (void)rig.ring.request_kick();
            const auto chains = rig.peek();
            std::array<uint32_t, kMaxBurst> lengths;
            for (size_t i = 0; i < chains.size(); ++i, ++done) {
                wrong_in_device += guest::fetch<uint32_t>(chains[i].segments->host) != done;
                guest::store(chains[i].segments[1].host, done + 1);
                lengths[i] = 4;
            }
            rig.ring.complete(std::span<const uint32_t>(lengths).first(chains.size()));
            (void)rig.ring.should_interrupt();
            std::this_thread::yield();
        }
    });
    uint64_t wrong_in_driver = 0;
    uint32_t sent = 0;
    for (uint32_t returned = 0; returned < kChains;) {
        for (; sent < kChains && sent - returned < 30; ++sent) {
            rig.memory.store(place(sent), sent);
            rig.driver.offer({{place(sent), 4, false}, {place(sent) + 4, 4, true}});
        }
        rig.driver.want_interrupts(sent % 2 == 0);
        (void)rig.driver.publish();
        for (; rig.driver.take_used(); ++returned)
            wrong_in_driver += rig.memory.load<uint32_t>(place(returned) + 4) != returned + 1;
        std::this_thread::yield();
    }
    device.join();
    EXPECT_EQ(wrong_in_device, 0U);
    EXPECT_EQ(wrong_in_driver, 0U);
}

INSTANTIATE_TEST_SUITE_P(EventIndex, RingThreads, testing::Bool());

// Control remaps, suspends and resets while a data thread keeps polling for frames.
TEST(DeviceThreads, ControlTakesQueuesAway) {
    constexpr memory::Iova kBuffers = 0x8000;
    FakeKernel kernel;
    Pool pool(256);
    GuestMemory guest;
    guest.add(0, 0xffff);
    auto control = Control::create(&kernel);
    ASSERT_TRUE(control);
    DeviceConfig config;
    config.name = "vd0";
    config.ctrl_vq = CtrlVq::off;
    auto device = (*control)->add(config);
    ASSERT_TRUE(device);
    FakeDevice& vd0 = *kernel.device("vd0");
    vd0.pump = [&] { (*control)->run_once(0); };
    vd0.map(0, guest);

    std::atomic<bool> stop = false;
    std::atomic<uint64_t> frames = 0;
    std::thread data([&] {
        while (!stop) {
            std::array<rte_mbuf*, 16> mbufs;
            const uint16_t count = (*device)->queue_pair(0).from_guest(pool.get(), mbufs);
            const uint16_t taken = (*device)->queue_pair(0).to_guest(std::span(mbufs).first(count));
            rte_pktmbuf_free_bulk(mbufs.data() + taken, static_cast<unsigned>(count - taken));
            frames += count;
            std::this_thread::yield();
        }
    });
    for (int round = 0; round < 200; ++round) {
        EXPECT_TRUE(vd0.set_status(0));
        vd0.set_features(virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform);
        EXPECT_TRUE(vd0.set_status(0x0b));
        std::vector<MockDriver> rings;
        for (const uint32_t i : {0U, 1U}) {
            const RingAreas areas = RingAreas::behind(guest.address(i * 0x1000), 64);
            rings.emplace_back(areas, MockDriver::Options{.size = 64});
            for (uint32_t n = 0; n < 20; ++n)
                rings[i].offer({{kBuffers + 512 * n, 72, i == 0}});
            rings[i].publish();
            vd0.set_vq(i, rings[i].layout());
        }
        EXPECT_TRUE(vd0.update_iotlb(0));
        EXPECT_TRUE(vd0.set_status(0x0f));
        EXPECT_TRUE(vd0.set_ready(0));
        EXPECT_TRUE(vd0.set_ready(1));
        const uint64_t before = frames;
        for (int turn = 0; turn < 100000 && frames == before; ++turn) {
            vd0.pump();
            std::this_thread::yield();
        }
        EXPECT_GT(frames, before) << "round " << round;
        EXPECT_TRUE(vd0.update_iotlb(0));
        // The data thread makes progress between the readings, until the device is suspended.
        const uint16_t earlier = rings[1].used_idx();
        const auto state = vd0.get_vq_state(1);
        EXPECT_GE(state, earlier);
        EXPECT_LE(state, rings[1].used_idx());
        if (round % 2 == 1) {
            EXPECT_TRUE(vd0.suspend());
            EXPECT_EQ(vd0.get_vq_state(1), rings[1].used_idx());
        }
    }
    EXPECT_TRUE(vd0.set_status(0));
    stop = true;
    data.join();
    EXPECT_TRUE((*device)->destroy());
}

}  // namespace
}  // namespace vduse::test
