// SPDX-License-Identifier: BSD-3-Clause

// Switch: worker lcores between ports made of rte_rings, whose other ends are the test's.
#include "app/datapath/switch.h"

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "app/datapath/port_output.h"
#include "base/counter.h"
#include "net/header.h"
#include "support/eal.h"
#include "support/frames.h"
#include "vduse/limits.h"

namespace vduse::app {
namespace {

constexpr unsigned kPorts = 3;
constexpr uint16_t kMtu = 1500;
constexpr auto kLimit = std::chrono::seconds(20);

/// Two lcores, which may share a CPU.
const bool with_worker = [] {
    test::eal_arguments = {"--no-telemetry", "--lcores=0@0,1@0"};
    return true;
}();

/// A port and the far end of its cable.
struct Cable {
    rte_ring* to_port = nullptr;
    rte_ring* from_port = nullptr;
    Endpoint endpoint;

    void plug(const std::string& name, rte_mempool* pool) {
        to_port = rte_ring_create((name + "rx").c_str(), 256, SOCKET_ID_ANY, 0);
        from_port = rte_ring_create((name + "tx").c_str(), 256, SOCKET_ID_ANY, 0);
        ASSERT_TRUE(to_port != nullptr && from_port != nullptr);
        const int port = rte_eth_from_rings(name.c_str(), &to_port, 1, &from_port, 1, 0);
        ASSERT_GE(port, 0);
        endpoint.name = name;
        endpoint.port = static_cast<uint16_t>(port);
        endpoint.set_queues(1);
        const rte_eth_conf conf{};
        ASSERT_EQ(rte_eth_dev_configure(endpoint.port, 1, 1, &conf), 0);
        ASSERT_EQ(rte_eth_rx_queue_setup(endpoint.port, 0, 64, 0, nullptr, pool), 0);
        ASSERT_EQ(rte_eth_tx_queue_setup(endpoint.port, 0, 64, 0, nullptr), 0);
        ASSERT_EQ(rte_eth_dev_start(endpoint.port), 0);
    }
    void unplug() {
        (void)rte_eth_dev_stop(endpoint.port);
        (void)rte_eth_dev_close(endpoint.port);
        rte_ring_free(to_port);
        rte_ring_free(from_port);
    }
    /// Waits for a frame. Returns its last byte, or -1 on timeout.
    int take() {
        const auto end = std::chrono::steady_clock::now() + kLimit;
        while (std::chrono::steady_clock::now() < end) {
            if (const int last = take_now(); last >= 0)
                return last;
            std::this_thread::yield();
        }
        return -1;
    }
    int take_now() {
        void* frame = nullptr;
        if (rte_ring_dequeue(from_port, &frame) != 0)
            return -1;
        auto* const mbuf = static_cast<rte_mbuf*>(frame);
        const int last = *rte_pktmbuf_mtod_offset(mbuf, uint8_t*, mbuf->data_len - 1);
        rte_pktmbuf_free(mbuf);
        return last;
    }
};

class SwitchTest : public testing::Test {
  protected:
    rte_mempool* pool = nullptr;
    std::array<Cable, kPorts> cables;
    Switch the_switch;

    void SetUp() override {
        static int number = 0;
        const std::string name = "switch" + std::to_string(number++);
        pool = rte_pktmbuf_pool_create(name.c_str(), 512, 0, 0, 2048 + 128, SOCKET_ID_ANY);
        ASSERT_NE(pool, nullptr);
        for (unsigned i = 0; i < kPorts; ++i)
            cables[i].plug(name + "p" + std::to_string(i), pool);
    }
    void TearDown() override {
        the_switch.stop();
        for (Cable& cable : cables)
            cable.unplug();
        EXPECT_EQ(rte_mempool_in_use_count(pool), 0U) << "mbufs leaked";
        rte_mempool_free(pool);
    }
    void start() {
        ASSERT_TRUE(the_switch.assign_workers());
        ASSERT_TRUE(the_switch.start(pool));
    }

    /// A frame from address `from` to address `to` (0: broadcast) arrives at a port.
    void give(Cable& cable, uint8_t to, uint8_t from, uint8_t last, uint16_t length = 60) {
        rte_mbuf* const frame = rte_pktmbuf_alloc(pool);
        ASSERT_NE(frame, nullptr);
        auto* const bytes = rte_pktmbuf_mtod(frame, uint8_t*);
        std::fill_n(bytes, length, uint8_t{0});
        std::fill_n(bytes, to == 0 ? 6 : 0, uint8_t{0xff});
        if (to != 0) {
            bytes[0] = 2;
            bytes[5] = to;
        }
        bytes[6] = 2;
        bytes[11] = from;
        bytes[length - 1] = last;
        frame->data_len = length;
        frame->pkt_len = length;
        ASSERT_EQ(rte_ring_enqueue(cable.to_port, frame), 0);
    }
};

TEST_F(SwitchTest, APatchCarriesBothWays) {
    the_switch.patch(cables[0].endpoint, cables[1].endpoint);
    start();
    EXPECT_EQ(cables[0].endpoint.lcores, (std::vector<unsigned>{1}));
    give(cables[0], 2, 1, 11);
    EXPECT_EQ(cables[1].take(), 11);
    give(cables[1], 1, 2, 12);
    EXPECT_EQ(cables[0].take(), 12);
    EXPECT_EQ(cables[2].endpoint.lcores[0], LCORE_ID_ANY);
}

// Frames to a port out of service are dropped and counted. The other ports keep working.
TEST_F(SwitchTest, WhatIsForAPortOutOfServiceIsDropped) {
    const std::array<BridgeMember, kPorts> members_of_bridge = {
        {{false, 2000}, {false, 2000}, {false, UINT32_MAX}}};
    auto bridge = Bridge::create("bridge-dead", members_of_bridge, rte_get_tsc_hz());
    ASSERT_TRUE(bridge);
    auto dead = make_endpoint("dead", 1);
    dead->port = RTE_MAX_ETHPORTS - 1;  // does not exist
    dead->in_service = false;
    const std::array<Endpoint*, kPorts> members = {
        &cables[0].endpoint, &cables[1].endpoint, dead.get()};
    the_switch.join(**bridge, members);
    the_switch.patch(cables[2].endpoint, *dead);
    start();
    give(cables[2], 2, 1, 40);
    give(cables[0], 0, 1, 41);
    EXPECT_EQ(cables[1].take(), 41);
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (dead->dropped[0].read() < 2 && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
    EXPECT_EQ(dead->dropped[0].read(), 2U);
    the_switch.stop();
    EXPECT_EQ((*bridge)->counters().too_long.read(), 0U);
}

/// A large frame from a guest, as from_guest returns it.
rte_mbuf* large_frame(rte_mempool* pool, const test::Frame& frame) {
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
    auto* const bytes = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.bytes.size()));
    std::copy(frame.bytes.begin(), frame.bytes.end(), bytes);
    test::say_lengths(mbuf, frame, 500);
    mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
    return mbuf;
}

// Work that the port's PMD can do is left to it, with the mbuf flags of a frame to be sent.
TEST_F(SwitchTest, APortGetsUnfinishedWhatItTakes) {
    Endpoint& port = cables[1].endpoint;
    const test::Frame frame = test::make_frame({.payload = 1400});
    const auto send = [&](const Offloads& offloads, int holders = 1) {
        port.offloads = offloads;
        rte_mbuf* mbuf = large_frame(pool, frame);
        rte_mbuf_refcnt_set(mbuf, static_cast<uint16_t>(holders));
        send_to_port(port, 0, std::span(&mbuf, 1));
        std::vector<rte_mbuf*> sent;
        for (void* out = nullptr; rte_ring_dequeue(cables[1].from_port, &out) == 0;)
            sent.push_back(static_cast<rte_mbuf*>(out));
        for (int i = 1; i < holders; ++i)
            rte_pktmbuf_free(mbuf);
        return sent;
    };
    const auto release = [](const std::vector<rte_mbuf*>& frames) {
        for (rte_mbuf* const mbuf : frames)
            rte_pktmbuf_free(mbuf);
    };
    for (const bool ip_csum : {true, false}) {
        port.ip_csum = ip_csum;
        const auto whole = send({true, true, true, true});
        ASSERT_EQ(whole.size(), 1U);
        EXPECT_EQ(
            whole[0]->ol_flags,
            RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG |
                (ip_csum ? RTE_MBUF_F_TX_IP_CKSUM : uint64_t{0})
        );
        EXPECT_EQ(whole[0]->tso_segsz, 500U);
        EXPECT_EQ(whole[0]->l2_len + whole[0]->l3_len + whole[0]->l4_len, frame.headers());
        release(whole);
    }
    EXPECT_EQ(port.offloaded[0].read(), 2U);
    EXPECT_EQ(port.finished[0].read(), 0U);
    const auto expect_cut = [&](const std::vector<rte_mbuf*>& segments) {
        ASSERT_EQ(segments.size(), 3U);
        const auto expected = test::plain_segments(frame, 500);
        for (size_t i = 0; i < segments.size(); ++i) {
            EXPECT_EQ(test::content(segments[i]), expected[i]);
            EXPECT_EQ(segments[i]->ol_flags, 0U);
        }
        release(segments);
    };
    expect_cut(send({}));
    expect_cut(send({true, false, true, true}));
    // The PMD would write into headers that are also sent elsewhere.
    expect_cut(send({true, true, true, true}, 2));
    EXPECT_EQ(port.offloaded[0].read(), 2U);
    EXPECT_EQ(port.finished[0].read(), 3U);
}

TEST_F(SwitchTest, ABridgeFloodsThenLearns) {
    const std::array<BridgeMember, kPorts> kMembers = {
        {{false, max_frame(kMtu)}, {false, max_frame(kMtu)}, {false, 100}}};
    auto bridge = Bridge::create("bridge-test", kMembers, 300 * rte_get_tsc_hz());
    ASSERT_TRUE(bridge);
    const std::array<Endpoint*, kPorts> members = {
        &cables[0].endpoint, &cables[1].endpoint, &cables[2].endpoint};
    the_switch.join(**bridge, members);
    start();
    for (const Endpoint* member : members)
        EXPECT_EQ(member->lcores[0], 1U);

    give(cables[0], 0, 1, 21);
    EXPECT_EQ(cables[1].take(), 21);
    EXPECT_EQ(cables[2].take(), 21);
    give(cables[1], 1, 2, 22);
    EXPECT_EQ(cables[0].take(), 22);
    give(cables[0], 2, 1, 23);
    EXPECT_EQ(cables[1].take(), 23);
    give(cables[0], 0, 1, 24, 101);  // too long for member 2
    EXPECT_EQ(cables[1].take(), 24);
    give(cables[0], 0, 1, 25);
    // Frames arrive in order, so an earlier frame for member 2 would have arrived first.
    EXPECT_EQ(cables[2].take(), 25);
    EXPECT_EQ(cables[1].take(), 25);

    the_switch.stop();
    EXPECT_EQ(cables[0].take_now(), -1) << "a frame went back to where it came from";
    EXPECT_EQ((*bridge)->counters().flooded.read(), 3U);
    EXPECT_EQ((*bridge)->counters().too_long.read(), 1U);
    EXPECT_EQ((*bridge)->stations(), 2U);
}

TEST_F(SwitchTest, AWorkerForgetsSilentAddressesByItself) {
    const std::array<BridgeMember, 2> kMembers = {{{false, 2000}, {false, 2000}}};
    auto bridge = Bridge::create("bridge-age", kMembers, rte_get_tsc_hz() / 1000);
    ASSERT_TRUE(bridge);
    const std::array<Endpoint*, 2> members = {&cables[0].endpoint, &cables[1].endpoint};
    the_switch.join(**bridge, members);
    start();
    give(cables[0], 0, 1, 31);
    EXPECT_EQ(cables[1].take(), 31);
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while ((*bridge)->stations() != 0 && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
    EXPECT_EQ((*bridge)->stations(), 0U);
    the_switch.stop();
}

}  // namespace
}  // namespace vduse::app
