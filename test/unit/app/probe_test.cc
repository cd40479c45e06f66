// SPDX-License-Identifier: BSD-3-Clause

// Ports of the command line: withheld from the EAL and probed later, or wrong.
#include "app/ports/probe.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <cerrno>
#include <thread>

#include "app/ports/port.h"
#include "net/header.h"
#include "support/eal.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

TEST(Ports, VdevsAreWithheldFromTheEal) {
    std::string words[] = {
        "vduse-dp", "--vdev", "net_tap0,iface=a", "-l", "0-1", "--vd=net_tap1", "--vdevs"};
    std::vector<char*> eal;
    for (std::string& word : words)
        eal.push_back(word.data());
    EXPECT_EQ(app::withhold_vdevs(eal), (std::vector<std::string>{"net_tap0,iface=a", "net_tap1"}));
    ASSERT_EQ(eal.size(), 4U);
    EXPECT_STREQ(eal[1], "-l");
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    std::string last = "--vdev";
    eal.push_back(last.data());
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    EXPECT_EQ(eal.size(), 5U) << "without a value: the EAL complains";
}

TEST(Ports, AreProbedInTheOrderOfTheirNames) {
    const auto ports = app::probe_ports(
        {"net_null_b", "net_null_a,size=128"}, {"net_null_a", "net_null_b"}, false
    );
    ASSERT_TRUE(ports) << ports.error().text();
    EXPECT_EQ(*ports, (std::vector<uint16_t>{1, 0}));
}

// The helper thread probes ports. It is not an EAL thread.
TEST(Ports, AreOnTheNodeOfTheThread) {
    std::thread([] {
        const auto ports = app::probe_ports({"net_null_e"}, {"net_null_e"}, false);
        ASSERT_TRUE(ports) << ports.error().text();
        EXPECT_EQ(rte_eth_dev_socket_id(ports->front()), static_cast<int>(rte_socket_id()));
        EXPECT_GE(rte_eth_dev_socket_id(ports->front()), 0);
    }).join();
}

// A port is set up for the longest frame that the library passes at an MTU, including two VLAN
// tags. An mbuf has room for 2048 bytes.
TEST(Ports, AreToldOfFramesThatNeedSeveralMbufs) {
    const auto ports =
        app::probe_ports({"net_ring0", "net_null_g"}, {"net_ring0", "net_null_g"}, false);
    ASSERT_TRUE(ports) << ports.error().text();
    for (uint16_t mtu = 2022; mtu <= 2031; ++mtu) {
        app::PortNeeds needs;
        needs.mtu = mtu;
        const bool several = mtu > 2026;
        EXPECT_EQ(max_frame(mtu) > 2048, several);
        const auto able = app::plan_port("net_ring0", ports->front(), needs);
        ASSERT_TRUE(able) << able.error().text();
        EXPECT_EQ((able->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0, several) << mtu;
        EXPECT_EQ((able->rx_offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0, several) << mtu;
        const auto unable = app::plan_port("net_null_g", ports->back(), needs);
        EXPECT_EQ(
            unable ? "" : unable.error().what,
            several ? "net_null_g: cannot send frames of several segments, so the device's mtu "
                      "must be 2026 at most"
                    : ""
        );
    }
}

TEST(Ports, AllAreClosed) {
    ASSERT_TRUE(app::probe_ports({"net_null_f"}, {}, false));
    EXPECT_GT(rte_eth_dev_count_avail(), 0);
    app::close_all_ports();
    EXPECT_EQ(rte_eth_dev_count_avail(), 0);
}

TEST(Ports, ThatDoNotExist) {
    const auto misspelt = app::probe_ports({"net_nul0"}, {}, false);
    ASSERT_FALSE(misspelt);
    EXPECT_EQ(misspelt.error().code, EINVAL);
    EXPECT_EQ(misspelt.error().what, "--vdev net_nul0: no driver for this device name");
    const auto missing = app::probe_ports({"net_null_c"}, {"net_null_d"}, true);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, EINVAL);
    EXPECT_EQ(
        missing.error().what.find("--port net_null_d: no such DPDK port, existing ports: "), 0U
    );
}

}  // namespace
}  // namespace vduse::test
