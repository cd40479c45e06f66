// SPDX-License-Identifier: BSD-3-Clause

// net_vduse through the ethdev API, on the fake kernel.
#include <gtest/gtest.h>
#include <rte_epoll.h>
#include <rte_eth_bond.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_interrupts.h>
#include <rte_version.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <string>
#include <vector>

#include "devargs.h"
#include "net_vduse_rig.h"

// ThreadSanitizer sees the EAL's alarm thread, but not the EAL's locks that protect the data passed
// to it.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT: its name
    return "called_from_lib:librte_eal.so\nrace:vduse::pmd::Port::call_back\n";
}

namespace vduse::test {
namespace {

#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
int add_to_bond(uint16_t bond, uint16_t port) {
    return rte_eth_bond_member_add(bond, port);
}
int take_out_of_bond(uint16_t bond, uint16_t port) {
    return rte_eth_bond_member_remove(bond, port);
}
#else
int add_to_bond(uint16_t bond, uint16_t port) {
    return rte_eth_bond_slave_add(bond, port);
}
int take_out_of_bond(uint16_t bond, uint16_t port) {
    return rte_eth_bond_slave_remove(bond, port);
}
#endif

TEST_F(NetVduse, ADeviceForAsLongAsThePort) {
    ASSERT_EQ(plug("queues=2,mtu=9000"), 0);
    EXPECT_NE(vd0, nullptr);
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(port, &info), 0);
    EXPECT_STREQ(info.driver_name, "net_vduse");
    EXPECT_EQ(info.max_mtu, 9000);
    EXPECT_GE(info.rx_desc_lim.nb_max, 4096);
    rte_ether_addr mac{};
    ASSERT_EQ(rte_eth_macaddr_get(port, &mac), 0);
    EXPECT_EQ(mac.addr_bytes[5], 7);
    start_port();
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(rte_eth_dev_stop(port), 0);
        start_port(2, 3);
    }
    EXPECT_EQ(kernel.device(iface), vd0) << "stop, configure and start leave the device alone";
    unplug();
    EXPECT_EQ(kernel.device(iface), nullptr);
}

TEST_F(NetVduse, CloseThenRemove) {
    ASSERT_EQ(plug(), 0);
    start_port();
    rte_eth_dev_stop(port);
    EXPECT_EQ(rte_eth_dev_close(port), 0);
    EXPECT_EQ(kernel.device(iface), nullptr);
    unplug();
    EXPECT_EQ(plug(), 0) << "and once more";
}

TEST_F(NetVduse, WhatIsWrongIsAnErrno) {
    EXPECT_EQ(plug("queues=0"), -EINVAL);
    EXPECT_EQ(plug("in_order=1"), -EINVAL);
    EXPECT_EQ(plug("colour=blue"), -EINVAL);
    kernel.faults.fail("create", EPERM);
    EXPECT_EQ(plug(), -EPERM);
    EXPECT_EQ(plug(), 0);
}

TEST_F(NetVduse, FramesBothWaysAndTheLink) {
    static std::atomic<unsigned> events = 0;
    ASSERT_EQ(plug(), 0);
    const auto count = [](uint16_t, rte_eth_event_type, void*, void*) {
        ++events;
        return 0;
    };
    rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, count, nullptr);
    rte_eth_conf conf{};
    conf.intr_conf.lsc = 1;
    start_port(1, 1, conf);
    EXPECT_EQ(link().link_status, RTE_ETH_LINK_DOWN) << "nobody is there";
    EXPECT_TRUE(receive().empty());
    EXPECT_EQ(send(0, pool.frame(pattern(60))), 0);

    start_driver();
    EXPECT_EQ(link().link_status, RTE_ETH_LINK_UP);
    EXPECT_EQ(link().link_speed, 10000U);
    EXPECT_TRUE(soon([&] { return events == 1; }));
    guest_sends(pattern(60));
    guest_sends(pattern(1514, 5));
    EXPECT_EQ(receive(), (Frames{pattern(60), pattern(1514, 5)}));
    guest_offers(0, 1);
    EXPECT_EQ(send(0, pool.frame(pattern(60))), 1);
    EXPECT_EQ(send(0, pool.frame(pattern(60))), 0) << "there is no room";
    EXPECT_EQ(stats().ipackets, 2U);
    EXPECT_EQ(stats().ibytes, 1574U);
    EXPECT_EQ(stats().opackets, 1U);
    EXPECT_EQ(stats().q_opackets[0], 1U);
    EXPECT_EQ(stats().q_ipackets[0], 2U);
    EXPECT_EQ(xstat("rx_q0_packets"), 2U);

    expect_up = false;
    on_control([&] { EXPECT_TRUE(vd0->set_status(0)); });
    look();
    EXPECT_EQ(link().link_status, RTE_ETH_LINK_DOWN);
    EXPECT_TRUE(soon([&] { return events == 2; }));
    EXPECT_EQ(rte_eth_stats_reset(port), 0);
    EXPECT_EQ(stats().ipackets, 0U);
    EXPECT_EQ(stats().q_opackets[0], 0U);
    rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, count, nullptr);
}

TEST_F(NetVduse, TheGuestSeesTheCarrier) {
    ASSERT_EQ(plug(), 0);
    EXPECT_FALSE(carrier());
    start_port();
    EXPECT_TRUE(carrier());
    EXPECT_EQ(rte_eth_dev_set_link_down(port), 0);
    EXPECT_FALSE(carrier());
    EXPECT_EQ(rte_eth_dev_set_link_up(port), 0);
    EXPECT_TRUE(carrier());
    rte_eth_dev_stop(port);
    EXPECT_FALSE(carrier());
}

// If the carrier went down, the guest driver would drop queued frames and report the change.
TEST_F(NetVduse, TheCarrierOutlivesACrash) {
    const auto arguments = pmd::parse_devargs(kName, devargs().c_str());
    ASSERT_TRUE(arguments);
    thread->run([&](Control& library) {
        const auto crashing = library.add(arguments->config);
        ASSERT_TRUE(crashing);
        vd0 = kernel.device(iface);
        vd0->on_bus = true;
        vd0->pump = [&] { library.run_once(0); };
        plain_start(kBase & ~virtio::kFeatureMtu);
        (*crashing)->set_link(true);
    });
    ASSERT_TRUE(carrier());
    ASSERT_EQ(plug(), 0);
    expect_up = false;
    look();
    EXPECT_TRUE(carrier()) << "while the port is not started yet";
    start_port();
    EXPECT_TRUE(carrier());
    rte_eth_dev_stop(port);
    EXPECT_FALSE(carrier());
    vd0->on_bus = false;
}

TEST_F(NetVduse, QueuesAndPairsAreIndependent) {
    ASSERT_EQ(plug("queues=2"), 0);
    start_port(1, 3);
    on_control([&] {
        qemu_start(kWithMq & ~virtio::kFeatureMtu);
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U) << "both pairs";
    });
    look();
    guest_sends(pattern(60, 1), 0);
    guest_sends(pattern(60, 2), 1);
    EXPECT_EQ(receive().size(), 2U) << "one rx queue polls both";
    guest_offers(0, 2);
    guest_offers(1, 1);
    EXPECT_EQ(send(0, pool.frame(pattern(60))), 1);
    EXPECT_EQ(send(2, pool.frame(pattern(60))), 1) << "pair 0 again";
    EXPECT_EQ(send(1, pool.frame(pattern(60))), 1);
    EXPECT_EQ(send(1, pool.frame(pattern(60))), 0);
    EXPECT_EQ(stats().opackets, 3U);
    for (int queue = 0; queue < 3; ++queue)
        EXPECT_EQ(stats().q_opackets[queue], 1U) << queue;

    rte_eth_dev_stop(port);
    start_port(3, 1);
    guest_sends(pattern(60, 3), 0);
    guest_sends(pattern(60, 4), 1);
    EXPECT_EQ(receive(0).size(), 1U);
    EXPECT_EQ(receive(1).size(), 1U);
    EXPECT_TRUE(receive(2).empty()) << "there is no third pair";
}

TEST_F(NetVduse, AFullPairLeavesTheOthersTheirTurn) {
    ASSERT_EQ(plug("queues=2"), 0);
    start_port();
    on_control([&] {
        qemu_start(kWithMq & ~virtio::kFeatureMtu);
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    });
    look();
    for (int i = 0; i < 8; ++i)
        guest_sends(pattern(60, 1), 0);
    guest_sends(pattern(60, 2), 1);
    Frames got;
    for (int burst = 0; burst < 2; ++burst) {
        std::array<rte_mbuf*, 4> frames;
        const uint16_t count = rte_eth_rx_burst(port, 0, frames.data(), frames.size());
        for (uint16_t i = 0; i < count; ++i)
            got.push_back(content(frames[i]));
        rte_pktmbuf_free_bulk(frames.data(), count);
    }
    EXPECT_NE(std::find(got.begin(), got.end(), pattern(60, 2)), got.end());
    EXPECT_EQ(stats().q_ipackets[0], got.size());
}

TEST_F(NetVduse, AQueueThatWasNotSetUp) {
    ASSERT_EQ(plug(), 0);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
    EXPECT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, nullptr), -EINVAL) << "no mbufs";
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, pool.get()), 0);
    EXPECT_EQ(rte_eth_dev_start(port), -EINVAL);
    ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 512, 0, nullptr), 0);
    EXPECT_EQ(rte_eth_dev_start(port), 0);
}

/// OVS and net_failsafe hold their own locks around ethdev calls.
TEST_F(NetVduse, ALinkCallbackMayWaitForWhoeverStopsThePort) {
    static std::mutex mine;
    static std::atomic<unsigned> events = 0;
    ASSERT_EQ(plug(), 0);
    const auto wait = [](uint16_t, rte_eth_event_type, void*, void*) {
        const std::lock_guard lock(mine);
        ++events;
        return 0;
    };
    rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, wait, nullptr);
    rte_eth_conf conf{};
    conf.intr_conf.lsc = 1;
    start_port(1, 1, conf);
    start_driver();
    {
        const std::lock_guard lock(mine);
        EXPECT_EQ(rte_eth_dev_stop(port), 0);
        EXPECT_EQ(rte_eth_dev_start(port), 0);
    }
    EXPECT_TRUE(soon([] { return events == 3; }));
    rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, wait, nullptr);
}

// A port can be started again without being configured again. Its queues must still exist then.
TEST_F(NetVduse, APortWhoseQueuesABondTookAway) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    GTEST_SKIP(
    ) << "bonding calls the driver from EAL's thread, which meets ours in libraries that "
         "were not compiled for ThreadSanitizer only";
#endif
#endif
    ASSERT_EQ(plug(), 0);
    const int bond = rte_eth_bond_create("net_bonding_test", 1, 0);
    ASSERT_GE(bond, 0);
    const auto bond_port = static_cast<uint16_t>(bond);
    ASSERT_EQ(add_to_bond(bond_port, port), 0);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(bond_port, 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(bond_port, 0, 512, 0, nullptr, pool.get()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(bond_port, 0, 512, 0, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(bond_port), 0);
    start_driver();
    guest_sends(pattern(60));
    EXPECT_EQ(receive(), Frames{pattern(60)}) << "the port runs, as a member";
    ASSERT_EQ(rte_eth_dev_stop(bond_port), 0);
    ASSERT_EQ(take_out_of_bond(bond_port, port), 0);

    const std::string lines =
        lines_of([&] { EXPECT_EQ(rte_eth_dev_start(port), -EINVAL) << "testpmd's port start"; });
    EXPECT_NE(lines.find("no queues"), std::string::npos) << lines;
    EXPECT_FALSE(carrier());
    start_port();
    guest_sends(pattern(60, 2));
    EXPECT_EQ(receive(), Frames{pattern(60, 2)}) << "configured again, it works";
    EXPECT_EQ(rte_eth_bond_free("net_bonding_test"), 0);
}

TEST_F(NetVduse, AnMtuThatMbufsHaveNoRoomFor) {
    ASSERT_EQ(plug(), 0);
    start_port();
    EXPECT_EQ(rte_eth_dev_stop(port), 0);
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 9000), 0) << "its queues may get other mbufs yet";
    const std::string lines = lines_of([&] { EXPECT_EQ(rte_eth_dev_start(port), -EINVAL); });
    for (const char* part : {"MTU 9000", "9022 bytes", "rx queue 0", "2048", "scatter"})
        EXPECT_NE(lines.find(part), std::string::npos) << part << " is not in: " << lines;
    EXPECT_FALSE(carrier());

    // With two VLAN tags, the longest frame at this MTU fills an mbuf exactly.
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 2026), 0);
    EXPECT_EQ(rte_eth_dev_start(port), 0);
    start_driver();
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 2027), -EINVAL);
    uint16_t mtu = 0;
    EXPECT_EQ(rte_eth_dev_get_mtu(port, &mtu), 0);
    EXPECT_EQ(mtu, 2026);
    guest_sends(pattern(2048));
    EXPECT_EQ(receive(), Frames{pattern(2048)});
    EXPECT_EQ(rte_eth_dev_stop(port), 0);

    const Pool large(16, 9022);
    rte_eth_conf conf{};
    conf.rxmode.mtu = 9000;
    ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, large.get()), 0);
    EXPECT_EQ(rte_eth_dev_start(port), 0);
    guest_sends(pattern(9022));
    EXPECT_EQ(receive(), Frames{pattern(9022)});
    EXPECT_EQ(rte_eth_dev_stop(port), 0);
}

// This includes a queue with deferred start and its own mbuf pool.
TEST_F(NetVduse, EachRxQueueNeedsRoomForTheMtu) {
    ASSERT_EQ(plug(), 0);
    const Pool small(16, 1521);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(port, 2, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, pool.get()), 0);
    rte_eth_rxconf deferred{};
    deferred.rx_deferred_start = 1;
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 1, 512, 0, &deferred, small.get()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 512, 0, nullptr), 0);
    const std::string lines = lines_of([&] { EXPECT_EQ(rte_eth_dev_start(port), -EINVAL); });
    EXPECT_NE(lines.find("rx queue 1 have room for 1521"), std::string::npos) << lines;
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 1, 512, 0, &deferred, pool.get()), 0);
    EXPECT_EQ(rte_eth_dev_start(port), 0);
}

TEST_F(NetVduse, LongFramesComeInChainsToWhomAskedForThem) {
    ASSERT_EQ(plug(), 0);
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(port, &info), 0);
    EXPECT_NE(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER, 0U);
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER;
    start_port(1, 1, conf);
    start_driver();
    ASSERT_EQ(rte_eth_dev_set_mtu(port, 9000), 0);
    guest_sends(pattern(9022));
    guest_sends(pattern(9023));
    EXPECT_EQ(receive(), Frames{pattern(9022)});
    EXPECT_EQ(xstat("rx_pair0_too_long_dropped"), 1U);
    rte_eth_rxq_info queue{};
    EXPECT_EQ(rte_eth_rx_queue_info_get(port, 0, &queue), 0);
    EXPECT_EQ(queue.scattered_rx, 1);
    EXPECT_EQ(queue.conf.offloads, conf.rxmode.offloads);
    rte_eth_burst_mode mode{};
    EXPECT_EQ(rte_eth_rx_burst_mode_get(port, 0, &mode), 0);
    EXPECT_STREQ(mode.info, "Split mergeable scalar scattered");
    EXPECT_EQ(rte_eth_tx_burst_mode_get(port, 0, &mode), 0);
    EXPECT_STREQ(mode.info, "Split mergeable scalar");

    // Without the scatter offload there are no mbuf chains any more.
    EXPECT_EQ(rte_eth_dev_stop(port), 0);
    start_port();
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 9000), -EINVAL);
    EXPECT_EQ(rte_eth_rx_queue_info_get(port, 0, &queue), 0);
    EXPECT_EQ(queue.scattered_rx, 0);
}

// As in net_vhost: there are never mbuf chains, and the user accepts that long frames are dropped.
TEST_F(NetVduse, LinearBuffer) {
    ASSERT_EQ(plug("linear-buffer=1"), 0);
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER;
    EXPECT_NE(rte_eth_dev_configure(port, 1, 1, &conf), 0) << "not offered";
    EXPECT_EQ(lines_of([&] { start_port(); }), "");
    const std::string lines = lines_of([&] { ASSERT_EQ(rte_eth_dev_set_mtu(port, 9000), 0); });
    EXPECT_NE(lines.find("longer than 2048 bytes are dropped"), std::string::npos) << lines;
    start_driver();
    guest_sends(pattern(3000));
    EXPECT_TRUE(receive().empty());
    EXPECT_EQ(xstat("rx_pair0_too_long_dropped"), 1U);
    EXPECT_EQ(stats().ierrors, 1U);
}

// mtu= is what the guest may send. The port accepts frames up to its ethdev MTU, by default DPDK's.
TEST_F(NetVduse, AGuestThatWasToldALongerMtu) {
    ASSERT_EQ(plug("mtu=9000"), 0);
    std::string lines = lines_of([&] { start_port(); });
    EXPECT_NE(lines.find("told mtu=9000"), std::string::npos) << lines;
    EXPECT_NE(lines.find("MTU is 1500"), std::string::npos) << lines;
    unplug();
    ASSERT_EQ(plug("mtu=1400"), 0);
    EXPECT_EQ(lines_of([&] { start_port(); }), "");
    unplug();
    ASSERT_EQ(plug(), 0);
    EXPECT_EQ(lines_of([&] { start_port(); }), "") << "it was told none";
}

TEST_F(NetVduse, MtuBoundsFrames) {
    ASSERT_EQ(plug("mtu=1600"), 0);
    start_port();
    start_driver();
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 1601), -EINVAL);
    EXPECT_EQ(rte_eth_dev_set_mtu(port, 67), -EINVAL);
    ASSERT_EQ(rte_eth_dev_set_mtu(port, 1000), 0);
    guest_sends(pattern(1022));
    guest_sends(pattern(1023));
    EXPECT_EQ(receive(), (Frames{pattern(1022)}));
    EXPECT_EQ(xstat("rx_pair0_too_long_dropped"), 1U);
}

TEST_F(NetVduse, VlanTagsInSoftware) {
    ASSERT_EQ(plug(), 0);
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
    start_port(1, 1, conf);
    start_driver();
    ASSERT_EQ(rte_eth_dev_vlan_filter(port, 5, 1), 0);
    guest_sends(tagged(6));
    guest_sends(tagged(5));
    const auto frames = receive();
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].size(), 60U);
    EXPECT_NE(last_flags & RTE_MBUF_F_RX_VLAN_STRIPPED, 0U);
    EXPECT_EQ(last_tci, 5);
    EXPECT_EQ(xstat("rx_vlan_filtered_dropped"), 1U);
    EXPECT_EQ(stats().ipackets, 1U) << "what the application got";
    EXPECT_EQ(stats().ibytes, 64U);

    guest_offers(0, 1);
    rte_mbuf* frame = pool.frame(pattern(60));
    frame->ol_flags |= RTE_MBUF_F_TX_VLAN;
    frame->vlan_tci = 7;
    EXPECT_EQ(send(0, frame), 1);
    const auto used = ring(0).take_used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->len, 12U + 64U);

    // The frame is also held elsewhere, so it must not be changed.
    rte_mbuf* shared = pool.frame(pattern(60));
    shared->ol_flags |= RTE_MBUF_F_TX_VLAN;
    rte_mbuf_refcnt_update(shared, 1);
    EXPECT_EQ(send(0, shared), 1) << "it is dropped";
    EXPECT_EQ(xstat("tx_vlan_insert_errors"), 1U);
    EXPECT_EQ(stats().oerrors, 1U);
    rte_pktmbuf_free(shared);
}

TEST_F(NetVduse, FillLevels) {
    ASSERT_EQ(plug(), 0);
    start_port();
    start_driver();
    guest_sends(pattern(60));
    guest_sends(pattern(60));
    guest_offers(0, 3);
    EXPECT_EQ(rte_eth_rx_queue_count(port, 0), 2);
    EXPECT_EQ(rte_eth_rx_descriptor_status(port, 0, 1), RTE_ETH_RX_DESC_DONE);
    EXPECT_EQ(rte_eth_rx_descriptor_status(port, 0, 2), RTE_ETH_RX_DESC_AVAIL);
    EXPECT_EQ(rte_eth_rx_descriptor_status(port, 0, 512), -EINVAL);
    EXPECT_EQ(rte_eth_tx_descriptor_status(port, 0, 2), RTE_ETH_TX_DESC_DONE);
    EXPECT_EQ(rte_eth_tx_descriptor_status(port, 0, 3), RTE_ETH_TX_DESC_FULL);
    receive();
    EXPECT_EQ(rte_eth_rx_queue_count(port, 0), 0);
    ring(1).write_avail_idx(5000);
    EXPECT_LE(rte_eth_rx_queue_count(port, 0), 64) << "a driver may say what it likes";
}

TEST_F(NetVduse, QueuesStopAndStart) {
    ASSERT_EQ(plug(), 0);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
    rte_eth_rxconf rx{};
    rx.rx_deferred_start = 1;
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, &rx, pool.get()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 512, 0, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(port), 0);
    start_driver();
    guest_sends(pattern(60));
    EXPECT_TRUE(receive().empty());
    EXPECT_EQ(rte_eth_dev_rx_queue_start(port, 0), 0);
    EXPECT_EQ(receive().size(), 1U);
    EXPECT_EQ(rte_eth_dev_tx_queue_stop(port, 0), 0);
    guest_offers(0, 1);
    EXPECT_EQ(send(0, pool.frame(pattern(60))), 0);
    rte_eth_rxq_info info{};
    EXPECT_EQ(rte_eth_rx_queue_info_get(port, 0, &info), 0);
    EXPECT_EQ(info.nb_desc, 512);
    EXPECT_EQ(info.mp, pool.get());
}

TEST_F(NetVduse, RxInterrupts) {
    ASSERT_EQ(plug("queues=2"), 0);
    rte_eth_conf conf{};
    conf.intr_conf.rxq = 1;
    start_port(1, 1, conf);
    on_control([&] {
        qemu_start(kWithMq & ~virtio::kFeatureMtu);
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    });
    look();
    ASSERT_EQ(
        rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr), 0
    );
    rte_epoll_event event{};
    const auto wait = [&](int ms) { return rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, ms); };
    for (int i = 0; i < 2; ++i) {
        while (rte_eth_dev_rx_intr_enable(port, 0) != 0)
            wait(0);
        wait(0);  // consumes an earlier edge
        EXPECT_EQ(rte_eth_dev_rx_intr_enable(port, 0), 0);
        EXPECT_EQ(wait(0), 0) << "nothing is there";
        guest_sends(pattern(60), 1);
        on_control([&] { vd0->kick(3); });
        EXPECT_EQ(wait(1000), 1) << "any pair of the queue wakes it";
        EXPECT_EQ(rte_eth_dev_rx_intr_disable(port, 0), 0);
        EXPECT_EQ(receive().size(), 1U);
    }
    guest_sends(pattern(60), 0);
    EXPECT_EQ(rte_eth_dev_rx_intr_enable(port, 0), -EAGAIN);
    EXPECT_EQ(wait(1000), 1) << "what was there already wakes too";
    receive();

    // After stop and start the port has new eventfds, which must be added again.
    EXPECT_EQ(rte_eth_dev_stop(port), 0);
    EXPECT_EQ(rte_eth_dev_start(port), 0);
    ASSERT_EQ(
        rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr), 0
    );
    guest_sends(pattern(60), 0);
    EXPECT_EQ(rte_eth_dev_rx_intr_enable(port, 0), -EAGAIN);
    EXPECT_EQ(wait(1000), 1);
    EXPECT_EQ(receive().size(), 1U);
}

TEST_F(NetVduse, WhatPeopleAsk) {
    ASSERT_EQ(plug(), 0);
    start_port();
    start_driver();
    std::array<char, 64> version{};
    EXPECT_EQ(rte_eth_dev_fw_version_get(port, version.data(), version.size()), 0);
    EXPECT_EQ(std::string(version.data()), "VDUSE API 1 QUEUE_READY SUSPEND");
    EXPECT_GT(rte_eth_dev_fw_version_get(port, version.data(), 5), 5);
    rte_eth_burst_mode mode{};
    EXPECT_EQ(rte_eth_rx_burst_mode_get(port, 0, &mode), 0);
    EXPECT_STREQ(mode.info, "Split mergeable scalar");
    char* text = nullptr;
    size_t bytes = 0;
    FILE* file = ::open_memstream(&text, &bytes);
    EXPECT_EQ(rte_eth_dev_priv_dump(port, file), 0);
    std::fclose(file);
    for (const char* part :
         {"  link: up\n",
          "  status_names: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK\n",
          "  groups.0.use: data\n",
          "  groups.0.asid: 0\n",
          "  spaces.0.regions: 0x0-0x3fffff rw node "})
        EXPECT_NE(std::string(text).find(part), std::string::npos) << text;
    std::free(text);
    rte_ether_addr mac = {{2, 0, 0, 0, 0, 9}};
    EXPECT_EQ(rte_eth_dev_default_mac_addr_set(port, &mac), 0);
    EXPECT_EQ(rte_eth_dev_mac_addr_add(port, &mac, 0), 0);
    EXPECT_EQ(rte_eth_promiscuous_disable(port), 0);
    EXPECT_EQ(rte_eth_allmulticast_enable(port), 0);
    EXPECT_EQ(rte_eth_tx_done_cleanup(port, 0, 0), 0);
    on_control([&] { EXPECT_TRUE(vd0->set_status(0)); });
    uint8_t last = 0;
    on_control([&] { last = vd0->config[5]; });
    EXPECT_EQ(last, 9) << "the next driver sees it";
}

TEST_F(NetVduse, ABrokenDeviceIsALinkThatIsLost) {
    ASSERT_EQ(plug(), 0);
    start_port();
    start_driver();
    expect_up = false;
    on_control([&] {
        vd0->give_up();
        settle();
    });
    look();
    EXPECT_EQ(link().link_status, RTE_ETH_LINK_DOWN);
    EXPECT_TRUE(receive().empty());
}

}  // namespace
}  // namespace vduse::test
