// SPDX-License-Identifier: BSD-3-Clause

// How it works: see port.h; port_start.cc carries out the plan. The offloads of a plan are those of
// port_offloads.h, and those that the frame length requires: frames longer than one mbuf are chains
// of mbufs, for rx and for tx.
#include "app/ports/port.h"

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "app/control/console.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::app {
namespace {

Error failed(const PortPlan& plan, const char* what, int status) {
    return Error{-status, plan.name + ": " + what};
}

std::string existing_ports() {
    std::string list;
    for (uint16_t port = 0; port < RTE_MAX_ETHPORTS; ++port) {
        std::array<char, RTE_ETH_NAME_MAX_LEN> name{};
        if (rte_eth_dev_is_valid_port(port) != 0 &&
            rte_eth_dev_get_name_by_port(port, name.data()) == 0)
            list.append(list.empty() ? "" : ", ").append(name.data());
    }
    return list.empty() ? "none" : list;
}

/// The largest MTU that ethdev accepts, by the same rule as its own check.
uint32_t largest_mtu(const rte_eth_dev_info& info) {
    const bool knows_both = info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu;
    const uint32_t overhead = knows_both ? info.max_rx_pktlen - info.max_mtu : 18;
    const uint32_t by_length = std::max(info.max_rx_pktlen, overhead) - overhead;
    return std::min<uint32_t>(info.max_mtu, by_length);
}

std::string_view driver_of(const rte_eth_dev_info& info) {
    return info.driver_name != nullptr ? info.driver_name : "";
}

void plan_queues(PortPlan& plan, const rte_eth_dev_info& info, uint16_t wanted) {
    const uint16_t has = std::min(info.max_rx_queues, info.max_tx_queues);
    const std::string_view driver = driver_of(info);
    const uint16_t safe = safe_queues(driver);
    plan.queues = std::max<uint16_t>(1, std::min({wanted, has, safe}));
    if (plan.queues < wanted)
        print_note(
            plan.name + ": gets " + std::to_string(plan.queues) + " of the " +
            std::to_string(wanted) + " requested queues, " +
            (has <= safe ? "its driver supports no more"
                         : "more would crash the " + std::string(driver) + " of this DPDK")
        );
}

void plan_mtu(PortPlan& plan, const rte_eth_dev_info& info, uint16_t mtu) {
    if (mtu == 0)
        return;
    if (mtu < info.min_mtu || mtu > largest_mtu(info)) {
        print_note(
            plan.name + ": MTU " + std::to_string(mtu) + " is not supported, at most " +
            std::to_string(largest_mtu(info)) + ": longer frames are lost"
        );
        return;
    }
    plan.mtu = mtu;
}

/// Plans chains of mbufs if frames of `bytes` need them.
Result<void> plan_segments(PortPlan& plan, const rte_eth_dev_info& info, uint32_t bytes) {
    if (bytes <= RTE_MBUF_DEFAULT_DATAROOM)
        return {};
    if ((info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0)
        return Error{
            ENOTSUP,
            plan.name + ": cannot send frames of several segments, so the device's mtu must be " +
                std::to_string(RTE_MBUF_DEFAULT_DATAROOM - max_frame(0)) + " at most"};
    plan.tx_offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    plan.rx_offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    if (plan.rx_offloads == 0)
        print_note(
            plan.name + ": cannot receive frames of several segments: those longer than " +
            std::to_string(RTE_MBUF_DEFAULT_DATAROOM) + " bytes may be lost"
        );
    return {};
}

}  // namespace

uint16_t safe_queues(std::string_view driver) {
    // At start these drivers send the file descriptors of the queues to other processes, two for
    // each queue, in one message. DPDK before 24.11 writes beyond its end if there are too many.
    constexpr unsigned kOfMessage = RTE_MP_MAX_FD_NUM / 2;
    return driver == "net_tap" || driver == "net_tun" ? kOfMessage : UINT16_MAX;
}

Result<uint16_t> find_port(const std::string& name) {
    uint16_t port = 0;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0)
        return Error{
            EINVAL, "--port " + name + ": no such DPDK port, existing ports: " + existing_ports()};
    return port;
}

Result<PortPlan> plan_port(const std::string& name, uint16_t port, const PortNeeds& needs) {
    PortPlan plan;
    plan.name = name;
    plan.port = port;
    plan.rx_interrupts = needs.rx_interrupts;
    rte_eth_dev_info info{};
    if (const int told = rte_eth_dev_info_get(port, &info); told != 0)
        return failed(plan, "information about it", told);
    plan_queues(plan, info, needs.queues);
    plan.rss = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
    plan_mtu(plan, info, needs.mtu);
    if (auto done = plan_segments(plan, info, max_frame(needs.mtu)); !done)
        return done.error();
    if (needs.offloads)
        plan.offloads = usable_offloads(driver_of(info), info);
    const int status =
        rte_eth_dev_adjust_nb_rx_tx_desc(port, &plan.rx_descriptors, &plan.tx_descriptors);
    if (status != 0)
        return failed(plan, "number of descriptors", status);
    return plan;
}

void stop_port(uint16_t port) {
    (void)rte_eth_dev_stop(port);
    (void)rte_eth_dev_close(port);
}

uint16_t port_mtu(uint16_t port) {
    uint16_t mtu = 0;
    return rte_eth_dev_get_mtu(port, &mtu) == 0 ? mtu : uint16_t{RTE_ETHER_MTU};
}

std::optional<MacAddress> port_mac(uint16_t port) {
    rte_ether_addr address{};
    if (rte_eth_macaddr_get(port, &address) != 0 || rte_is_zero_ether_addr(&address) != 0)
        return std::nullopt;
    MacAddress mac;
    std::copy_n(address.addr_bytes, mac.size(), mac.begin());
    return mac;
}

bool port_link_up(uint16_t port) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(port, &link) != 0)
        return true;
    return link.link_status == RTE_ETH_LINK_UP;
}

void set_port_link(uint16_t port, bool up) {
    (void)(up ? rte_eth_dev_set_link_up(port) : rte_eth_dev_set_link_down(port));
}

}  // namespace vduse::app
