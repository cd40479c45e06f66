// SPDX-License-Identifier: BSD-3-Clause

// How it works: ethdev checks queue numbers and whether the port is started before it calls. The
// operations here only forward. Errors are negative errnos. See port.h for threads.
#include "ethdev_ops.h"

#include <rte_ether.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <string>

#include "describe.h"
#include "log.h"
#include "mtu.h"
#include "port.h"
#include "queues.h"
#include "rxtx.h"
#include "secondary.h"
#include "stats.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::pmd {
namespace {

/// Independent of the guest driver: offloads that it does not accept are done in software.
constexpr uint64_t kTxOffloads = RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_MULTI_SEGS |
                                 RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |
                                 RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                                 RTE_ETH_TX_OFFLOAD_TCP_TSO;
/// Ethernet header and two VLAN tags.
constexpr uint32_t kOverhead = max_frame(0);

int report(const Port& port, const Result<void>& done) {
    if (done)
        return 0;
    log(Topic::driver, Severity::error, "%s: %s", port.name().c_str(), done.error().text().c_str());
    return -done.error().code;
}

SecondaryStats& secondary_stats(const rte_eth_dev* dev) {
    return *static_cast<SecondaryStats*>(dev->data->dev_private);
}

// ---- capabilities

int infos_get(rte_eth_dev* dev, rte_eth_dev_info* info) {
    const SecondaryStats& shared = secondary_stats(dev);
    info->min_mtu = kMinMtu;
    info->max_mtu = shared.max_mtu;
    info->max_rx_pktlen = shared.max_mtu + kOverhead;
    info->min_rx_bufsize = 64;
    info->max_rx_queues = kMaxQueues;
    info->max_tx_queues = kMaxQueues;
    info->max_mac_addrs = kMaxMacs;
    info->rx_offload_capa = shared.rx_offloads;
    if ((shared.rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0)
        info->max_lro_pkt_size = kLongestLarge;
    info->tx_offload_capa = kTxOffloads;
    // The guest driver sets the ring sizes. These limits only bound an application's request.
    const rte_eth_desc_lim limits = {
        .nb_max = kMaxQueueSize,
        .nb_min = 1,
        .nb_align = 1,
        .nb_seg_max = UINT16_MAX,
        .nb_mtu_seg_max = UINT16_MAX};
    info->rx_desc_lim = limits;
    info->tx_desc_lim = limits;
    info->default_rxportconf = {.burst_size = 32, .ring_size = 1024, .nb_queues = 1};
    info->default_txportconf = {.burst_size = 32, .ring_size = 1024, .nb_queues = 1};
    info->speed_capa = rte_eth_speed_bitflag(shared.speed, shared.full_duplex ? 1 : 0);
    info->dev_capa &=
        ~uint64_t{RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP | RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP};
    return 0;
}

// ---- configuration, start, stop, close

int configure(rte_eth_dev* dev) {
    port_of(dev).set_rules();
    return 0;
}

template <class Queues>
void start_queues(void** queues, uint16_t count, uint8_t* states) {
    for (uint16_t i = 0; i < count; ++i) {
        auto& queue = *static_cast<Queues*>(queues[i]);
        set_running(queue, states[i], !queue.deferred);
    }
}

template <class Queues>
void stop_queues(void** queues, uint16_t count, uint8_t* states) {
    for (uint16_t i = 0; i < count; ++i) {
        if (queues[i] != nullptr)
            static_cast<Queues*>(queues[i])->running = false;
        states[i] = RTE_ETH_QUEUE_STATE_STOPPED;
    }
}

/// Whether the configured queues still exist and are enough.
Result<void> may_start(const rte_eth_dev* dev) {
    const rte_eth_dev_data& data = *dev->data;
    // ethdev would let the application poll queues that do not exist.
    if (data.nb_rx_queues == 0 && data.nb_tx_queues == 0)
        return Error{
            EINVAL,
            "start: no queues are configured (as after removal from a bond); configure the port "
            "again"};
    const auto is_missing = [](const void* queue) { return queue == nullptr; };
    if (std::any_of(data.rx_queues, data.rx_queues + data.nb_rx_queues, is_missing) ||
        std::any_of(data.tx_queues, data.tx_queues + data.nb_tx_queues, is_missing))
        return Error{EINVAL, "start: a queue was configured but not set up"};
    return check_mtu(dev, data.mtu);
}

int start(rte_eth_dev* dev) {
    Port& port = port_of(dev);
    rte_eth_dev_data& data = *dev->data;
    port.set_rules();
    if (const int error = report(port, may_start(dev)); error != 0)
        return error;
    for (uint16_t i = 0; i < data.nb_rx_queues; ++i) {
        rx_queue(dev, i).stride = data.nb_rx_queues;
        rx_queue(dev, i).next = i;
    }
    if (data.dev_conf.intr_conf.rxq != 0)
        if (const int error = report(port, port.install_interrupts()); error != 0) {
            port.remove_interrupts();
            return error;
        }
    start_queues<RxQueue>(data.rx_queues, data.nb_rx_queues, data.rx_queue_state);
    start_queues<TxQueue>(data.tx_queues, data.nb_tx_queues, data.tx_queue_state);
    port.start();
    return 0;
}

int stop(rte_eth_dev* dev) {
    Port& port = port_of(dev);
    rte_eth_dev_data& data = *dev->data;
    data.dev_started = 0;
    stop_queues<RxQueue>(data.rx_queues, data.nb_rx_queues, data.rx_queue_state);
    stop_queues<TxQueue>(data.tx_queues, data.nb_tx_queues, data.tx_queue_state);
    drop_held(dev);
    port.stop();
    port.remove_interrupts();
    return 0;
}

// ---- rx interrupts

int rx_interrupt_enable(rte_eth_dev* dev, uint16_t index) {
    return enable_interrupt(rx_queue(dev, index)) ? 0 : -EAGAIN;
}

int rx_interrupt_disable(rte_eth_dev* dev, uint16_t index) {
    disable_interrupt(rx_queue(dev, index));
    return 0;
}

// ---- link, MTU, addresses, VLANs

int link_update(rte_eth_dev* dev, int /*wait*/) {
    const SecondaryStats& shared = secondary_stats(dev);
    const rte_eth_link link = link_of(shared.up, shared.speed, shared.full_duplex);
    return rte_eth_linkstatus_set(dev, &link);
}

int set_link_up(rte_eth_dev* dev) {
    port_of(dev).set_admin(true);
    return 0;
}

int set_link_down(rte_eth_dev* dev) {
    port_of(dev).set_admin(false);
    return 0;
}

int mtu_set(rte_eth_dev* dev, uint16_t mtu) {
    Port& port = port_of(dev);
    if (mtu < kMinMtu || mtu > port.max_mtu())
        return -EINVAL;
    // The rx queues of a stopped port may get other mbufs before it starts.
    if (dev->data->dev_started != 0)
        if (const int error = report(port, check_mtu(dev, mtu)); error != 0)
            return error;
    port.longest = max_frame(mtu);
    return 0;
}

// The port has one peer and receives all frames that it sends, whatever their destination. So there
// is nothing to enable.
int receive_all(rte_eth_dev* /*dev*/) {
    return 0;
}

int mac_addr_add(
    rte_eth_dev* /*dev*/, rte_ether_addr* /*mac*/, uint32_t /*index*/, uint32_t /*pool*/
) {
    return 0;
}

void mac_addr_remove(rte_eth_dev* /*dev*/, uint32_t /*index*/) {
}

int set_mc_addr_list(rte_eth_dev* /*dev*/, rte_ether_addr* /*list*/, uint32_t /*count*/) {
    return 0;
}

int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* mac) {
    std::array<uint8_t, 6> bytes;
    std::copy_n(mac->addr_bytes, bytes.size(), bytes.begin());
    Port& port = port_of(dev);
    return report(port, port.set_mac(bytes));
}

int vlan_filter_set(rte_eth_dev* dev, uint16_t vlan, int on) {
    std::atomic<uint64_t>& word = port_of(dev).vlans[vlan / 64];
    const uint64_t bit = uint64_t{1} << vlan % 64;
    if (on != 0)
        word.fetch_or(bit, std::memory_order_relaxed);
    else
        word.fetch_and(~bit, std::memory_order_relaxed);
    return 0;
}

int vlan_offload_set(rte_eth_dev* dev, int /*mask*/) {
    port_of(dev).set_rules();
    return 0;
}

// ---- statistics

/// In any process. Returns nullptr if the primary does not answer.
const PortStats* stats_of(const rte_eth_dev* dev, PortStats& room) {
    if (dev->process_private != nullptr) {
        room = port_of(dev).stats();
        return &room;
    }
    SecondaryStats& shared = secondary_stats(dev);
    return shared.ask() ? &shared.stats : nullptr;
}

template <class Queues>
int stats_get(rte_eth_dev* dev, rte_eth_stats* stats, Queues* queues) {
    PortStats room;
    const PortStats* port = stats_of(dev, room);
    if (port == nullptr)
        return -ETIMEDOUT;
    add_up(*port, *stats);
    if (queues != nullptr)
        add_up_queues(*port, *queues);
    return 0;
}

int stats_reset(rte_eth_dev* dev) {
    port_of(dev).reset_stats();
    return 0;
}

int xstats_get_names(rte_eth_dev* dev, rte_eth_xstat_name* names, unsigned room) {
    const uint16_t pairs = secondary_stats(dev).pairs;
    const unsigned count = xstat_count(pairs);
    if (names != nullptr && room >= count)
        name_xstats(pairs, {names, count});
    return static_cast<int>(count);
}

int xstats_get(rte_eth_dev* dev, rte_eth_xstat* values, unsigned room) {
    const unsigned count = xstat_count(secondary_stats(dev).pairs);
    if (values == nullptr || room < count)
        return static_cast<int>(count);
    PortStats stats;
    const PortStats* port = stats_of(dev, stats);
    if (port == nullptr)
        return -ETIMEDOUT;
    get_xstats(*port, {values, count});
    return static_cast<int>(count);
}

// ---- the tables

eth_dev_ops secondary_ops() {
    eth_dev_ops ops{};
    ops.dev_close = close;
    ops.dev_infos_get = infos_get;
    ops.link_update = link_update;
    ops.stats_get = VDUSE_STATS_GET(stats_get);
    ops.xstats_get = xstats_get;
    ops.xstats_get_names = xstats_get_names;
    return ops;
}

eth_dev_ops primary_ops() {
    eth_dev_ops ops = secondary_ops();
    ops.dev_configure = configure;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_set_link_up = set_link_up;
    ops.dev_set_link_down = set_link_down;
    ops.promiscuous_enable = receive_all;
    ops.promiscuous_disable = receive_all;
    ops.allmulticast_enable = receive_all;
    ops.allmulticast_disable = receive_all;
    ops.mac_addr_add = mac_addr_add;
    ops.mac_addr_remove = mac_addr_remove;
    ops.mac_addr_set = mac_addr_set;
    ops.set_mc_addr_list = set_mc_addr_list;
    ops.mtu_set = mtu_set;
    ops.stats_reset = stats_reset;
    ops.xstats_reset = stats_reset;
    ops.rxq_info_get = rxq_info_get;
    ops.txq_info_get = txq_info_get;
    ops.rx_burst_mode_get = rx_burst_mode;
    ops.tx_burst_mode_get = tx_burst_mode;
    ops.fw_version_get = fw_version_get;
    ops.vlan_filter_set = vlan_filter_set;
    ops.vlan_offload_set = vlan_offload_set;
    ops.rx_queue_start = rx_queue_start;
    ops.rx_queue_stop = rx_queue_stop;
    ops.tx_queue_start = tx_queue_start;
    ops.tx_queue_stop = tx_queue_stop;
    ops.rx_queue_setup = rx_queue_setup;
    ops.rx_queue_release = rx_queue_release;
    ops.tx_queue_setup = tx_queue_setup;
    ops.tx_queue_release = tx_queue_release;
    ops.rx_queue_intr_enable = rx_interrupt_enable;
    ops.rx_queue_intr_disable = rx_interrupt_disable;
    ops.tx_done_cleanup = tx_done_cleanup;
    ops.eth_dev_priv_dump = priv_dump;
    return ops;
}

}  // namespace

const eth_dev_ops kOps = primary_ops();
const eth_dev_ops kSecondaryOps = secondary_ops();

void set_fast_path(rte_eth_dev* dev) {
    dev->rx_pkt_burst = rx_burst;
    dev->tx_pkt_burst = tx_burst;
    dev->tx_pkt_prepare = tx_prepare;
    dev->rx_queue_count = [](void* queue) -> CountResult {
        return static_cast<CountResult>(rx_waiting(*static_cast<RxQueue*>(queue)));
    };
    dev->rx_descriptor_status = [](void* raw, uint16_t offset) -> int {
        auto& queue = *static_cast<RxQueue*>(raw);
        if (offset >= queue.descriptors)
            return -EINVAL;
        return offset < rx_waiting(queue) ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
    };
    dev->tx_descriptor_status = [](void* raw, uint16_t offset) -> int {
        auto& queue = *static_cast<TxQueue*>(raw);
        if (offset >= queue.descriptors)
            return -EINVAL;
        return offset < tx_waiting(queue) ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
    };
    set_tx_queue_count(dev, [](void* raw) -> int {
        auto& queue = *static_cast<TxQueue*>(raw);
        return queue.descriptors -
               std::min<int>(queue.descriptors, static_cast<int>(tx_waiting(queue)));
    });
}

void set_no_path(rte_eth_dev* dev) {
    dev->rx_pkt_burst = rte_eth_pkt_burst_dummy;
    dev->tx_pkt_burst = rte_eth_pkt_burst_dummy;
    dev->rx_queue_count = [](void*) -> CountResult { return 0; };
    dev->rx_descriptor_status = [](void*, uint16_t) { return -ENOTSUP; };
    dev->tx_descriptor_status = [](void*, uint16_t) { return -ENOTSUP; };
    set_tx_queue_count(dev, [](void*) -> int { return -ENOTSUP; });
}

int close(rte_eth_dev* dev) {
    if (rte_eal_process_type() != RTE_PROC_PRIMARY)
        return 0;
    if (dev->process_private == nullptr)
        return 0;
    stop(dev);
    for (uint16_t i = 0; i < dev->data->nb_rx_queues; ++i)
        rx_queue_release(dev, i);
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; ++i)
        tx_queue_release(dev, i);
    std::unique_ptr<Port>(static_cast<Port*>(std::exchange(dev->process_private, nullptr))).reset();
    rte_intr_instance_free(std::exchange(dev->intr_handle, nullptr));
    return 0;
}

}  // namespace vduse::pmd
