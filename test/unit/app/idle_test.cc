// SPDX-License-Identifier: BSD-3-Clause

// Sleeping workers (idle.h), in a switch with devices on the fake kernel.
#include "app/datapath/idle.h"

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include <array>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/datapath/switch.h"
#include "base/counter.h"
#include "net/header.h"
#include "support/eal.h"
#include "support/fake_kernel.h"
#include "support/guest_memory.h"
#include "support/mock_driver.h"
#include "virtio/features.h"

namespace vduse::app {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kLimit = std::chrono::seconds(20);
constexpr microseconds kIdle{200};

/// Two lcores, which may share a CPU.
const bool with_worker = [] {
    test::eal_arguments = {"--no-telemetry", "--lcores=0@0,1@0"};
    return true;
}();

template <class Condition>
bool comes_true(Condition condition) {
    const auto end = steady_clock::now() + kLimit;
    while (!condition()) {
        if (steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
}

/// A device with a driver: one pair, frames of 60 bytes.
struct Guest {
    static constexpr memory::Iova kBuffers = 0x10000;
    static constexpr uint32_t kFrame = 60;

    test::GuestMemory memory;
    std::unique_ptr<Device> device;
    test::FakeDevice* kernel = nullptr;
    std::unique_ptr<test::MockDriver> to_guest;
    std::unique_ptr<test::MockDriver> from_guest;
    Endpoint endpoint;

    void create(test::FakeKernel& fake, Control& control, const std::string& name) {
        memory.add(0, 0xfffff);
        DeviceConfig config;
        config.name = name;
        config.ctrl_vq = CtrlVq::off;
        auto added = control.add(config);
        ASSERT_TRUE(added);
        device = std::move(*added);
        kernel = fake.device(name);
        kernel->pump = [&control] { control.run_once(0); };
        endpoint.name = name;
        endpoint.set_device(*device);
        endpoint.set_queues(1);
    }
    /// The driver starts, or restarts, with new rings.
    void start() {
        EXPECT_TRUE(kernel->set_status(0));
        kernel->set_features(virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform);
        EXPECT_TRUE(kernel->set_status(0x0b));
        to_guest = ring(0);
        from_guest = ring(1);
        for (unsigned i = 0; i < 32; ++i)
            to_guest->offer({{kBuffers + 0x800 * i, 0x800, true}});
        to_guest->publish();
        kernel->unmap_all(0);
        kernel->map(0, memory);
        EXPECT_TRUE(kernel->update_iotlb(0));
        EXPECT_TRUE(kernel->set_status(0x0f));
        EXPECT_TRUE(kernel->set_ready(0));
        EXPECT_TRUE(kernel->set_ready(1));
        EXPECT_TRUE(comes_true([&] {
            kernel->pump();
            return device->queue_info(0)->running && device->queue_info(1)->running;
        }));
    }
    std::unique_ptr<test::MockDriver> ring(uint32_t index) {
        const auto areas = test::RingAreas::behind(memory.address(index * 0x4000), 64);
        auto made =
            std::make_unique<test::MockDriver>(areas, test::MockDriver::Options{.size = 64});
        kernel->set_vq(index, made->layout());
        return made;
    }
    /// The driver sends a broadcast frame from address `from`.
    void send(uint8_t from = 1) {
        const memory::Iova at = kBuffers + 0x800 * 40;
        std::array<uint8_t, net::kHeaderBytes + kFrame> bytes{};
        std::fill_n(bytes.begin() + net::kHeaderBytes, 6, uint8_t{0xff});
        bytes[net::kHeaderBytes + 6] = 2;
        bytes[net::kHeaderBytes + 11] = from;
        memory.write(at, bytes.data(), bytes.size());
        from_guest->offer({{at, static_cast<uint32_t>(bytes.size()), false}});
        if (from_guest->publish())
            kernel->kick(1);
    }
    /// Waits for a frame.
    bool take() {
        return comes_true([&] { return to_guest->take_used().has_value(); });
    }
};

class IdleWaitTest : public testing::Test {
  protected:
    test::MbufPool pool{512};
    test::FakeKernel kernel;
    std::unique_ptr<Control> control;
    std::array<Guest, 2> guests;
    std::unique_ptr<Switch> the_switch = std::make_unique<Switch>();

    void SetUp() override {
        auto created = Control::create(&kernel);
        ASSERT_TRUE(created);
        control = std::move(*created);
        for (size_t i = 0; i < guests.size(); ++i)
            guests[i].create(kernel, *control, "vd" + std::to_string(i));
    }
    void TearDown() override {
        the_switch.reset();
        for (Guest& guest : guests)
            guest.device.reset();
        EXPECT_EQ(pool.in_use(), 0U) << "mbufs leaked";
    }
    [[nodiscard]] Result<void> start() {
        if (auto placed = the_switch->assign_workers(); !placed)
            return placed.error();
        return the_switch->start(pool.get(), {.idle = kIdle});
    }
    [[nodiscard]] uint64_t sleeps() const { return the_switch->workers().at(0).sleeps; }
    [[nodiscard]] uint64_t wake_ups() const { return the_switch->workers().at(0).wake_ups; }
    /// Waits until the worker sleeps and no earlier event wakes it.
    void expect_sleeps() {
        EXPECT_TRUE(comes_true([&] {
            const uint64_t before = wake_ups();
            std::this_thread::sleep_for(10 * kIdle);
            return wake_ups() == before && sleeps() == before + 1;
        }));
    }
};

TEST_F(IdleWaitTest, AnIdleWorkerTakesNoTimeAndWakesForAFrame) {
    the_switch->reflect(guests[0].endpoint);
    guests[0].start();
    ASSERT_TRUE(start());
    ASSERT_EQ(the_switch->workers().size(), 1U);
    EXPECT_EQ(the_switch->workers()[0].lcore, 1U);
    for (int round = 0; round < 5; ++round) {
        expect_sleeps();
        const std::clock_t before = std::clock();
        std::this_thread::sleep_for(milliseconds(200));
        EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 50) << "of 0.2 s of nothing";
        const uint64_t woken = wake_ups();
        guests[0].send();
        EXPECT_TRUE(guests[0].take());
        EXPECT_GT(wake_ups(), woken);
    }
}

TEST_F(IdleWaitTest, StopEndsASleep) {
    the_switch->reflect(guests[0].endpoint);
    ASSERT_TRUE(start());
    expect_sleeps();
    the_switch->stop();
}

TEST_F(IdleWaitTest, SleepsWithoutADriverAndWakesWhenOneComesAgain) {
    the_switch->reflect(guests[0].endpoint);
    ASSERT_TRUE(start());
    for (int round = 0; round < 3; ++round) {
        expect_sleeps();
        guests[0].start();
        expect_sleeps();
        guests[0].send();
        EXPECT_TRUE(guests[0].take());
    }
}

// A broken device stays with its worker and must not keep it awake.
TEST_F(IdleWaitTest, DevicesOutOfServiceAreLeftAlone) {
    the_switch->patch(guests[0].endpoint, guests[1].endpoint);
    for (Guest& guest : guests)
        guest.start();
    ASSERT_TRUE(start());
    guests[0].endpoint.in_service = false;
    expect_sleeps();
    guests[0].send();
    expect_sleeps();
    const uint64_t before = wake_ups();
    guests[1].send();
    EXPECT_TRUE(comes_true([&] { return wake_ups() != before; }));
}

TEST_F(IdleWaitTest, ABridgeForgetsAddressesInItsSleep) {
    const std::array<BridgeMember, 2> in_bridge = {{{true, 0}, {true, 0}}};
    auto bridge = Bridge::create("bridge-sleep", in_bridge, rte_get_tsc_hz() / 50);
    ASSERT_TRUE(bridge);
    const std::array<Endpoint*, 2> members = {&guests[0].endpoint, &guests[1].endpoint};
    the_switch->join(**bridge, members);
    for (Guest& guest : guests)
        guest.start();
    ASSERT_TRUE(start());
    std::this_thread::sleep_for(10 * kIdle);
    guests[0].send(7);
    EXPECT_TRUE(guests[1].take());
    EXPECT_EQ((*bridge)->stations(), 1U);
    EXPECT_TRUE(comes_true([&] { return (*bridge)->stations() == 0; }));
    EXPECT_GT(sleeps(), wake_ups()) << "the time ended some";
    the_switch->stop();
}

TEST_F(IdleWaitTest, APortWithoutInterruptsKeepsItsWorkerAwake) {
    rte_ring* const to_port = rte_ring_create("sleeper-rx", 64, SOCKET_ID_ANY, 0);
    rte_ring* const from_port = rte_ring_create("sleeper-tx", 64, SOCKET_ID_ANY, 0);
    rte_ring* rings[] = {to_port, from_port};
    const int port = rte_eth_from_rings("sleeper", &rings[0], 1, &rings[1], 1, 0);
    ASSERT_GE(port, 0);
    Endpoint endpoint;
    endpoint.name = "sleeper";
    endpoint.port = static_cast<uint16_t>(port);
    endpoint.set_queues(1);
    rte_eth_conf conf{};
    conf.intr_conf.rxq = 1;
    ASSERT_EQ(rte_eth_dev_configure(endpoint.port, 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(endpoint.port, 0, 64, 0, nullptr, pool.get()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(endpoint.port, 0, 64, 0, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(endpoint.port), 0);

    the_switch->patch(guests[0].endpoint, endpoint);
    guests[0].start();
    testing::internal::CaptureStderr();
    const auto started = start();
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(started);
    EXPECT_NE(said.find("sleeper: no rx interrupts, so lcore 1 never sleeps"), said.npos) << said;
    EXPECT_TRUE(the_switch->workers().empty());
    std::this_thread::sleep_for(10 * kIdle);
    guests[0].send();
    void* frame = nullptr;
    EXPECT_TRUE(comes_true([&] { return rte_ring_dequeue(from_port, &frame) == 0; }));
    rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    the_switch->stop();
    (void)rte_eth_dev_stop(endpoint.port);
    (void)rte_eth_dev_close(endpoint.port);
    rte_ring_free(to_port);
    rte_ring_free(from_port);
}

}  // namespace
}  // namespace vduse::app
