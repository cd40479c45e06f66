// SPDX-License-Identifier: BSD-3-Clause

// Switch: the pairs of a device with groups=per-pair on two workers, and their shared state.
#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "app/datapath/switch.h"
#include "base/counter.h"
#include "support/session_rig.h"

namespace vduse::test {
namespace {

using app::Endpoint;
using app::Switch;

/// Three lcores. The workers run on two CPUs if the machine has two.
const bool with_workers = [] {
    const unsigned last = std::max(std::thread::hardware_concurrency(), 1U) - 1;
    eal_arguments = {"--no-telemetry", "--lcores=0@0,1@0,2@" + std::to_string(last)};
    return true;
}();

class SwitchGroups : public SessionTest {
  protected:
    static constexpr auto kLimit = std::chrono::seconds(20);

    Endpoint endpoint;
    Switch the_switch;

    void reflect(Groups groups) {
        DeviceConfig config = two_pairs();
        config.groups = groups;
        ASSERT_EQ(create(config), "");
        endpoint.name = "vd0";
        endpoint.set_device(*device);
        endpoint.set_queues(2);
        endpoint.group_per_pair = groups == Groups::per_pair;
        the_switch.reflect(endpoint);
    }
    void TearDown() override { the_switch.stop(); }

    /// Counts the frames that return on `pair`, until there are `wanted` or a timeout.
    unsigned returned(uint16_t pair, unsigned wanted) {
        const auto end = std::chrono::steady_clock::now() + kLimit;
        unsigned count = 0;
        while (count < wanted && std::chrono::steady_clock::now() < end) {
            while (ring(2U * pair).take_used())
                ++count;
            control->run_once(0);
            std::this_thread::yield();
        }
        return count;
    }
    void offer_to_guest(uint16_t pair, unsigned buffers) {
        for (unsigned i = 0; i < buffers; ++i)
            ring(2U * pair).offer({{kBuffers + (pair + 1) * 0x40000U + i * 2048U, 2048, true}});
        ring(2U * pair).publish();
    }
};

TEST_F(SwitchGroups, EachHasAWorkerOfItsOwn) {
    reflect(Groups::per_pair);
    const auto plan = the_switch.assign_workers();
    ASSERT_TRUE(plan);
    EXPECT_EQ(*plan, "lcore 1, node 0: vd0 pair 0\nlcore 2, node 0: vd0 pair 1\n");
    EXPECT_EQ(endpoint.lcores, (std::vector<unsigned>{1, 2}));
    qemu_start();
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    for (uint16_t pair = 0; pair < 2; ++pair) {
        offer_to_guest(pair, 4);
        for (int i = 0; i < 4; ++i)
            offer_from_guest(pair);
    }
    ASSERT_TRUE(the_switch.start(pool.get()));
    EXPECT_EQ(returned(0, 4), 4U);
    EXPECT_EQ(returned(1, 4), 4U);
}

TEST_F(SwitchGroups, OneGroupHasOneWorker) {
    reflect(Groups::together);
    const auto plan = the_switch.assign_workers();
    ASSERT_TRUE(plan);
    EXPECT_EQ(*plan, "lcore 1, node 0: vd0\nlcore 2, node 0: nothing to do\n");
    EXPECT_EQ(endpoint.lcores, (std::vector<unsigned>{1, 1}));
    EXPECT_EQ(endpoint.tx_locks, nullptr);
}

// The driver receives on one pair and sends on both, so both workers send to the same queue.
TEST_F(SwitchGroups, WorkersTakeTurnsAtAPair) {
    reflect(Groups::per_pair);
    ASSERT_TRUE(the_switch.assign_workers());
    qemu_start();
    ASSERT_EQ(command(4, {4, 0, 1, 0}), 0U);
    ASSERT_TRUE(the_switch.start(pool.get()));
    rte_spinlock_lock(&endpoint.tx_locks[0]);
    offer_to_guest(0, 8);
    for (int i = 0; i < 4; ++i)
        for (uint16_t pair = 0; pair < 2; ++pair)
            offer_from_guest(pair);
    // Both workers have received frames and now wait for the lock.
    while (ring(1).used_idx() == 0 || ring(3).used_idx() == 0)
        std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(ring(0).used_idx(), 0);
    rte_spinlock_unlock(&endpoint.tx_locks[0]);
    EXPECT_EQ(returned(0, 8), 8U);
    EXPECT_EQ(endpoint.dropped[0].read() + endpoint.dropped[1].read(), 0U);
}

TEST_F(SwitchGroups, OnTheLcoresThatWereAskedFor) {
    endpoint.group_lcores = {{0, 2}, {1, 2}};
    reflect(Groups::per_pair);
    const auto plan = the_switch.assign_workers();
    ASSERT_TRUE(plan);
    EXPECT_EQ(*plan, "lcore 1, node 0: nothing to do\nlcore 2, node 0: vd0 pair 0; vd0 pair 1\n");
}

TEST_F(SwitchGroups, WhatOneWorkerMustServeIsAskedForOnTwo) {
    reflect(Groups::per_pair);
    Endpoint port;
    port.name = "p0";
    port.set_queues(1);
    endpoint.group_lcores = {{0, 1}, {1, 2}};
    Switch other;
    other.patch(endpoint, port);
    const auto plan = other.assign_workers();
    ASSERT_FALSE(plan);
    EXPECT_NE(plan.error().what.find("lcores 1 and 2"), std::string::npos) << plan.error().what;
}

}  // namespace
}  // namespace vduse::test
