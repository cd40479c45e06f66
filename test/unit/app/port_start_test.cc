// SPDX-License-Identifier: BSD-3-Clause

// Ports whose PMDs support less than they report: what is requested instead, and what happens to
// the others if one cannot start at all.
#include <gtest/gtest.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/control/link_policy.h"
#include "app/datapath/switch.h"
#include "app/ports/port.h"
#include "app/ports/port_endpoint.h"
#include "app/ports/port_monitor.h"
#include "app/ports/probe.h"
#include "app/report/stats_text.h"
#include "support/eal.h"
#include "support/reluctant_port.h"

namespace vduse::app {
namespace {

using test::Pool;
using test::Reluctant;
using test::reluctant;

constexpr const char* kName = "net_reluctant0";

/// Two lcores, which may share a CPU.
const bool with_worker = [] {
    test::eal_arguments = {"--no-telemetry", "--lcores=0@0,1@0"};
    return true;
}();

size_t occurrences(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

class PortStart : public testing::Test {
  protected:
    Pool pool{64};
    uint16_t port = 0;
    PortPlan plan;
    std::string said;  ///< stderr of the last call

    PortStart() {
        reluctant = Reluctant();
        const auto ports = probe_ports({kName}, {kName}, false);
        EXPECT_TRUE(ports);
        port = ports->front();
    }
    ~PortStart() override {
        stop_port(port);
        EXPECT_EQ(rte_eal_hotplug_remove("vdev", kName), 0);
    }

    static PortNeeds everything() { return {8, 9000, true, true}; }

    void make_plan(const PortNeeds& needs = everything()) {
        testing::internal::CaptureStderr();
        auto made = plan_port(kName, port, needs);
        said = testing::internal::GetCapturedStderr();
        ASSERT_TRUE(made);
        plan = *made;
    }
    /// Starts the port. Returns whether it runs.
    bool start() {
        testing::internal::CaptureStderr();
        const auto started = start_port(plan, pool.get());
        said = testing::internal::GetCapturedStderr();
        EXPECT_EQ(started.operator bool(), reluctant.started);
        return reluctant.started;
    }
    [[nodiscard]] bool said_that(const std::string& part) const {
        return occurrences(said, part) == 1;
    }
};

TEST_F(PortStart, WhatIsThereIsGivenWithoutAWord) {
    make_plan();
    EXPECT_EQ(said, "");
    EXPECT_TRUE(start());
    EXPECT_EQ(said, "");
    EXPECT_EQ(plan.queues, 8);
    EXPECT_EQ(plan.mtu, 9000);
    EXPECT_TRUE(plan.rx_interrupts);
    EXPECT_NE(plan.rss, 0U);
    EXPECT_NE(plan.rx_offloads, 0U);
    EXPECT_EQ(reluctant.attempts, 0U);
}

// If the PMD lacks one feature, the port starts without that one only.
TEST_F(PortStart, OneThingLess) {
    struct Row {
        void (*lacks)();
        void (*less)(PortPlan&);
        const char* note;
    };
    const std::vector<Row> rows = {
        {[] { reluctant.interrupts = false; },
         [](PortPlan& p) { p.rx_interrupts = false; },
         "without rx interrupts"},
        {[] { reluctant.rss = false; }, [](PortPlan& p) { p.rss = 0; }, "without RSS"},
        {[] { reluctant.queues = 3; }, [](PortPlan& p) { p.queues = 2; }, "with fewer queues: 2"},
        {[] { reluctant.queues = 1; }, [](PortPlan& p) { p.queues = 1; }, "with fewer queues: 1"},
        {[] { reluctant.descriptors = 300; },
         [](PortPlan& p) { p.rx_descriptors = p.tx_descriptors = 256; },
         "with 256 rx and 256 tx descriptors for each queue"},
        {[] { reluctant.mtu = 1500; }, [](PortPlan& p) { p.mtu = 0; }, "without the MTU"},
        {[] { reluctant.scatter = false; },
         [](PortPlan& p) { p.rx_offloads = 0; },
         "without rx in several segments"}};
    for (const Row& row : rows) {
        reluctant = Reluctant();
        row.lacks();
        make_plan();
        PortPlan wanted = plan;
        row.less(wanted);
        EXPECT_TRUE(start()) << row.note;
        EXPECT_TRUE(said_that(std::string("started ") + row.note)) << said;
        EXPECT_EQ(occurrences(said, "vduse-dp: note: "), 1U) << said;
        EXPECT_TRUE(said_that("note: net_reluctant0: ")) << said;
        EXPECT_EQ(plan.rx_interrupts, wanted.rx_interrupts) << row.note;
        EXPECT_EQ(plan.rss, wanted.rss) << row.note;
        EXPECT_EQ(plan.queues, wanted.queues) << row.note;
        EXPECT_EQ(plan.rx_descriptors, wanted.rx_descriptors) << row.note;
        EXPECT_EQ(plan.tx_descriptors, wanted.tx_descriptors) << row.note;
        EXPECT_EQ(plan.mtu, wanted.mtu) << row.note;
        EXPECT_EQ(plan.rx_offloads, wanted.rx_offloads) << row.note;
        EXPECT_EQ(plan.tx_offloads, RTE_ETH_TX_OFFLOAD_MULTI_SEGS) << "frames need it";
        (void)rte_eth_dev_stop(port);
    }
}

TEST_F(PortStart, OffloadsAreAskedForWhereADeviceLeavesWorkToThem) {
    reluctant.claims_offloads = true;
    make_plan({1, 1500, false, false});
    EXPECT_FALSE(plan.offloads.any());
    make_plan({1, 1500, false, true});
    EXPECT_EQ(
        plan.offloads.tx,
        RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
            RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
            RTE_ETH_TX_OFFLOAD_MULTI_SEGS
    );
    EXPECT_EQ(plan.offloads.rx, RTE_ETH_RX_OFFLOAD_CHECKSUM) << "LRO that does not say how long";
    testing::internal::CaptureStderr();
    const auto endpoint = make_port_endpoint(kName, port, plan, pool.get());
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(endpoint->offloads, (Offloads{true, true, true, true}));
    EXPECT_TRUE(endpoint->ip_csum);
}

TEST_F(PortStart, OneThatCannotDoTheOffloadsItClaims) {
    reluctant.claims_offloads = true;
    reluctant.offloads = false;
    make_plan();
    EXPECT_TRUE(start());
    EXPECT_TRUE(said_that("started without offloads")) << said;
    EXPECT_FALSE(plan.offloads.any());
    EXPECT_NE(plan.rx_offloads, 0U) << "long frames need it";
}

TEST(PortOffloads, ByDriver) {
    rte_eth_dev_info info{};
    info.tx_offload_capa = info.rx_offload_capa = UINT64_MAX;
    EXPECT_FALSE(usable_offloads("net_tap", info).any());
    const PortOffloads nic = usable_offloads("net_i40e", info);
    EXPECT_EQ(nic.rx & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0U);
    EXPECT_NE(nic.tx & RTE_ETH_TX_OFFLOAD_TCP_TSO, 0U);
    EXPECT_NE(usable_offloads("net_virtio_user", info).rx & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0U);
    // Large frames are mbuf chains and need checksums.
    info.tx_offload_capa =
        RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO;
    EXPECT_EQ(
        offloads_of(usable_offloads("net_i40e", info)), (Offloads{true, false, false, false})
    );
    info.tx_offload_capa =
        RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    EXPECT_EQ(offloads_of(usable_offloads("net_i40e", info)), Offloads());
}

TEST_F(PortStart, SeveralThingsLess) {
    reluctant.interrupts = false;
    reluctant.queues = 4;
    reluctant.descriptors = 512;
    make_plan();
    EXPECT_TRUE(start());
    for (const char* note : {"without rx interrupts", "with fewer queues", "with 512 rx"})
        EXPECT_TRUE(said_that(note)) << note << said;
    EXPECT_FALSE(plan.rx_interrupts);
    EXPECT_LE(plan.queues, 4);
    EXPECT_EQ(plan.rx_descriptors, 512);
    EXPECT_EQ(plan.mtu, 9000) << "that comes later";
}

TEST_F(PortStart, TheDriversOwnNumberOfDescriptorsFirst) {
    reluctant.default_ring = 384;
    reluctant.descriptors = 400;
    make_plan();
    EXPECT_TRUE(start());
    EXPECT_EQ(plan.rx_descriptors, 384);
    EXPECT_TRUE(said_that("with 384 rx and 384 tx descriptors")) << said;
}

TEST_F(PortStart, WithOneQueueNothingIsSaidOfRss) {
    reluctant.mtu = 1500;
    reluctant.interrupts = false;
    make_plan({1, 9000, true});
    EXPECT_TRUE(start());
    EXPECT_EQ(occurrences(said, "RSS"), 0U) << said;
    EXPECT_EQ(occurrences(said, "queues"), 0U) << said;
}

TEST_F(PortStart, WhatCannotBeHadIsAnErrorAboutThePlan) {
    reluctant.starts = false;
    make_plan();
    const PortPlan before = plan;
    testing::internal::CaptureStderr();
    const auto started = start_port(plan, pool.get());
    said = testing::internal::GetCapturedStderr();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().text(), "net_reluctant0: start: Invalid argument");
    EXPECT_EQ(occurrences(said, "vduse-dp:"), 0U) << said;
    EXPECT_EQ(plan.queues, before.queues);
    EXPECT_LT(reluctant.attempts, 40U);
}

TEST_F(PortStart, QueuesThatADriverHasNot) {
    make_plan({128, 0, false});
    EXPECT_EQ(plan.queues, 16);
    EXPECT_TRUE(said_that(
        "note: net_reluctant0: gets 16 of the 128 requested queues, its driver supports no more\n"
    )) << said;
}

TEST_F(PortStart, LongFramesWithoutScatteredRxAreSaid) {
    reluctant.claims_scatter = false;
    make_plan({1, 2026, false});
    EXPECT_EQ(said, "");
    make_plan({1, 2027, false});
    EXPECT_TRUE(said_that("note: net_reluctant0: cannot receive frames of several segments"))
        << said;
    EXPECT_EQ(plan.tx_offloads, RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
}

/// The endpoint of a port that does not start. `said`: the log.
std::unique_ptr<Endpoint> dead_endpoint(
    uint16_t port, const Result<PortPlan>& plan, rte_mempool* pool, std::string& said
) {
    reluctant.starts = false;
    testing::internal::CaptureStderr();
    auto endpoint = make_port_endpoint(kName, port, plan, pool);
    said = testing::internal::GetCapturedStderr();
    return endpoint;
}

TEST_F(PortStart, APortThatCannotBeHadIsOutOfService) {
    make_plan();
    const auto dead = dead_endpoint(port, plan, pool.get(), said);
    EXPECT_TRUE(
        said_that("vduse-dp: net_reluctant0: start: Invalid argument; the port is out of service\n")
    ) << said;
    EXPECT_FALSE(dead->in_service);
    EXPECT_EQ(dead->name, kName);
    EXPECT_EQ(dead->port, port);
    EXPECT_EQ(dead->queues, 1);
    // A port that could not even be planned.
    const Result<PortPlan> none = Error{ENOTSUP, "net_reluctant0: cannot do that"};
    const auto unplanned = dead_endpoint(port, none, pool.get(), said);
    EXPECT_TRUE(said_that("net_reluctant0: cannot do that: Operation not supported; the port"));
    EXPECT_FALSE(unplanned->in_service);
}

TEST_F(PortStart, OneThatStartsIsInServiceWithWhatItGot) {
    reluctant.queues = 2;
    make_plan();
    testing::internal::CaptureStderr();
    const auto endpoint = make_port_endpoint(kName, port, plan, pool.get());
    testing::internal::GetCapturedStderr();
    EXPECT_TRUE(endpoint->in_service);
    EXPECT_EQ(endpoint->queues, 2);
    EXPECT_EQ(endpoint->lcores.size(), 2U);
}

// A PMD may take the kernel's RTNL lock for its counters, as mlx5 does by ethtool's ioctl(2). The
// control thread must not wait for that lock.
TEST_F(PortStart, OnlyTheMonitorReadsThePortsCounters) {
    make_plan();
    std::vector<std::unique_ptr<Endpoint>> ports;
    testing::internal::CaptureStderr();
    ports.push_back(make_port_endpoint(kName, port, plan, pool.get()));
    testing::internal::GetCapturedStderr();
    reluctant.stats_calls = 0;
    EXPECT_NE(port_line(*ports.front()).find("rx 0 frames"), std::string::npos);
    EXPECT_EQ(reluctant.stats_calls, 0U);

    PortMonitor monitor;
    monitor.start(ports);
    while (ports.front()->traffic.rx_frames == 0)
        std::this_thread::yield();
    monitor.stop();
    EXPECT_NE(port_line(*ports.front()).find("rx 7 frames"), std::string::npos);
}

TEST_F(PortStart, NobodyCallsTheDriverOfAPortOutOfService) {
    make_plan();
    std::vector<std::unique_ptr<Endpoint>> ports;
    ports.push_back(dead_endpoint(port, plan, pool.get(), said));
    reluctant.other_calls = 0;

    EXPECT_EQ(
        port_line(*ports.front()),
        "net_reluctant0: link down, rx 0 frames 0 bytes, tx 0 frames 0 bytes 0 dropped 0 finished "
        "0 offloaded, out of service\n"
    );
    PortMonitor monitor;
    monitor.start(ports);
    ports.front()->link.requested = RequestedLink::up;
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    monitor.stop();
    EXPECT_FALSE(ports.front()->link.up);

    Switch the_switch;
    the_switch.reflect(*ports.front());
    ASSERT_TRUE(the_switch.assign_workers());
    // A worker with a port out of service may sleep.
    testing::internal::CaptureStderr();
    ASSERT_TRUE(the_switch.start(pool.get(), {.idle = std::chrono::microseconds(1)}));
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (the_switch.workers().front().sleeps == 0 && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
    EXPECT_EQ(the_switch.workers().front().sleeps, 1U);
    the_switch.stop();
    EXPECT_EQ(reluctant.other_calls, 0U);
}

TEST(Port, QueuesThatAreKnownToBeTooMany) {
    EXPECT_EQ(safe_queues("net_tap"), RTE_MP_MAX_FD_NUM / 2);
    EXPECT_EQ(safe_queues("net_tun"), RTE_MP_MAX_FD_NUM / 2);
    EXPECT_EQ(safe_queues("net_vduse"), UINT16_MAX);
    EXPECT_EQ(safe_queues(""), UINT16_MAX);
}

// DPDK 22.11: "Cannot send more than 8 FDs", stack smashing, SIGABRT.
TEST(Port, ATapStartsWithAsManyQueuesAsItMay) {
    const std::string tap = "net_tap_queues";
    const auto ports = probe_ports({tap + ",iface=vdusetest"}, {tap}, false);
    if (!ports)
        GTEST_SKIP() << ports.error().text();
    Pool pool{4500};
    testing::internal::CaptureStderr();
    auto plan = plan_port(tap, ports->front(), {16, 0, false});
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(plan);
    constexpr unsigned kMost = std::min(RTE_MP_MAX_FD_NUM / 2, 16);
    EXPECT_EQ(plan->queues, kMost);
    if (kMost < 16) {
        EXPECT_NE(
            said.find(
                tap + ": gets " + std::to_string(kMost) +
                " of the 16 requested queues, more would crash the net_tap of this DPDK\n"
            ),
            std::string::npos
        ) << said;
    }
    const auto started = start_port(*plan, pool.get());
    EXPECT_TRUE(started) << started.error().text();
    EXPECT_EQ(plan->queues, kMost);
    stop_port(ports->front());
}

}  // namespace
}  // namespace vduse::app
