// SPDX-License-Identifier: BSD-3-Clause

// The driver refuses what it does not support where real drivers do: at configuration (queues, MTU,
// RSS), at queue set-up (descriptors) and at start (interrupts, scattered rx, offloads; or always,
// as if there were no memory for the queues).
#include "reluctant_port.h"

#include <bus_vdev_driver.h>

#include <cerrno>

#include "compat.h"

namespace vduse::test {

Reluctant reluctant;

namespace {

rte_ether_addr address = {{2, 0, 0, 0, 0, 0x77}};

int refused_if(bool refused) {
    reluctant.attempts += refused ? 1 : 0;
    return refused ? -EINVAL : 0;
}

int configure(rte_eth_dev* dev) {
    const rte_eth_conf& conf = dev->data->dev_conf;
    return refused_if(
        dev->data->nb_rx_queues > reluctant.queues || conf.rxmode.mtu > reluctant.mtu ||
        ((conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS) != 0 && !reluctant.rss)
    );
}

int start(rte_eth_dev* dev) {
    const rte_eth_conf& conf = dev->data->dev_conf;
    if (const int status = refused_if(
            !reluctant.starts || (conf.intr_conf.rxq != 0 && !reluctant.interrupts) ||
            ((conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 && !reluctant.scatter) ||
            ((conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0 && !reluctant.offloads)
        );
        status != 0)
        return status;
    reluctant.started = true;
    return 0;
}

int stop(rte_eth_dev* /*dev*/) {
    reluctant.started = false;
    return 0;
}

int close(rte_eth_dev* dev) {
    dev->data->mac_addrs = nullptr;  // not allocated from DPDK's heap
    return 0;
}

int info(rte_eth_dev* /*dev*/, rte_eth_dev_info* info) {
    info->min_mtu = 68;
    info->max_mtu = 9702;
    info->max_rx_pktlen = 9702 + 22;
    info->max_rx_queues = 16;
    info->max_tx_queues = 16;
    info->max_mac_addrs = 1;
    info->flow_type_rss_offloads = RTE_ETH_RSS_IP;
    info->rx_offload_capa = reluctant.claims_scatter ? RTE_ETH_RX_OFFLOAD_SCATTER : 0;
    info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if (reluctant.claims_offloads) {
        info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO;
        info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
                                 RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO;
    }
    info->default_rxportconf.ring_size = reluctant.default_ring;
    info->default_txportconf.ring_size = reluctant.default_ring;
    return 0;
}

int set_up_rx(
    rte_eth_dev* dev,
    uint16_t queue,
    uint16_t descriptors,
    unsigned /*socket*/,
    const rte_eth_rxconf* /*conf*/,
    rte_mempool* /*pool*/
) {
    dev->data->rx_queues[queue] = &reluctant;
    return refused_if(descriptors > reluctant.descriptors);
}

int set_up_tx(
    rte_eth_dev* dev,
    uint16_t queue,
    uint16_t /*descriptors*/,
    unsigned /*socket*/,
    const rte_eth_txconf* /*conf*/
) {
    dev->data->tx_queues[queue] = &reluctant;
    return 0;
}

int accept(rte_eth_dev* /*dev*/) {
    return 0;
}

int set_mtu(rte_eth_dev* /*dev*/, uint16_t /*mtu*/) {
    return 0;
}

int look_at_link(rte_eth_dev* /*dev*/, int /*wait*/) {
    ++reluctant.other_calls;
    return 0;
}

int set_link(rte_eth_dev* /*dev*/) {
    ++reluctant.other_calls;
    return 0;
}

template <class Queues>
int get_stats(rte_eth_dev* /*dev*/, rte_eth_stats* stats, Queues* /*queues*/) {
    ++reluctant.other_calls;
    ++reluctant.stats_calls;
    stats->ipackets = 7;
    return 0;
}

uint16_t burst(void* /*queue*/, rte_mbuf** /*frames*/, uint16_t /*count*/) {
    ++reluctant.other_calls;
    return 0;
}

const eth_dev_ops ops = [] {
    eth_dev_ops made{};
    made.dev_configure = configure;
    made.dev_start = start;
    made.dev_stop = stop;
    made.dev_close = close;
    made.dev_infos_get = info;
    made.rx_queue_setup = set_up_rx;
    made.tx_queue_setup = set_up_tx;
    made.promiscuous_enable = accept;
    made.mtu_set = set_mtu;
    made.link_update = look_at_link;
    made.dev_set_link_up = set_link;
    made.dev_set_link_down = set_link;
    made.stats_get = VDUSE_STATS_GET(get_stats);
    return made;
}();

int probe(rte_vdev_device* vdev) {
    rte_eth_dev* const dev = rte_eth_vdev_allocate(vdev, 0);
    if (dev == nullptr)
        return -ENOMEM;
    dev->data->mac_addrs = &address;
    dev->dev_ops = &ops;
    dev->rx_pkt_burst = burst;
    dev->tx_pkt_burst = burst;
    rte_eth_dev_probing_finish(dev);
    return 0;
}

int remove(rte_vdev_device* vdev) {
    rte_eth_dev* const dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    return dev != nullptr ? rte_eth_dev_release_port(dev) : 0;
}

rte_vdev_driver driver = [] {
    rte_vdev_driver made{};
    made.driver.name = "net_reluctant";
    made.probe = probe;
    made.remove = remove;
    return made;
}();

const struct Registered {
    Registered() { rte_vdev_register(&driver); }
} registered;

}  // namespace
}  // namespace vduse::test
