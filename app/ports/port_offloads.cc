// SPDX-License-Identifier: BSD-3-Clause

#include "app/ports/port_offloads.h"

#include <rte_ethdev.h>

namespace vduse::app {
namespace {

constexpr uint64_t kTxSums = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
constexpr uint64_t kTxLarge = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
constexpr uint64_t kRxLarge = RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER;

/// `all`, if `has` has all of them.
constexpr uint64_t all_or_none(uint64_t has, uint64_t all) {
    return (has & all) == all ? all : 0;
}

}  // namespace

PortOffloads usable_offloads(std::string_view driver, const rte_eth_dev_info& info) {
    if (driver == "net_tap" || driver == "net_tun")
        return {};
    PortOffloads usable;
    usable.tx = all_or_none(info.tx_offload_capa, kTxSums);
    if (usable.tx != 0)
        usable.tx |= (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) |
                     all_or_none(info.tx_offload_capa, kTxLarge);
    usable.rx = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_CHECKSUM;
    if (driver.starts_with("net_virtio"))
        usable.rx |= all_or_none(info.rx_offload_capa, kRxLarge);
    return usable;
}

Offloads offloads_of(const PortOffloads& port) {
    const bool csum = (port.tx & kTxSums) == kTxSums;
    const bool large = csum && (port.tx & kTxLarge) == kTxLarge;
    return {csum, large, large, large};
}

}  // namespace vduse::app
