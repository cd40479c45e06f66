// SPDX-License-Identifier: BSD-3-Clause

// How it works: see port.h, start_port. A driver may claim more than it supports: queues that the
// machine has no memory or interrupts for, an offload that one version of a card lacks. The reason
// that it gives is only an errno value, so the wrong claim is found by trial: one is left out.
//
// Each thing that a port can do without is a row of a table. First each row is tried alone, so that
// the port loses no more than necessary. Then the rows are added up, one by one.
#include <rte_ethdev.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "app/control/console.h"
#include "app/ports/port.h"

namespace vduse::app {
namespace {

/// Rings with fewer entries than two bursts are useless.
constexpr uint16_t kFewestDescriptors = 64;

Error failed(const PortPlan& plan, const char* what, int status) {
    return Error{-status, plan.name + ": " + what};
}

rte_eth_conf configuration(const PortPlan& plan) {
    rte_eth_conf conf{};
    conf.rxmode.mtu = plan.mtu;
    conf.rxmode.offloads = plan.rx_offloads | plan.offloads.rx;
    conf.txmode.offloads = plan.tx_offloads | plan.offloads.tx;
    conf.intr_conf.rxq = plan.rx_interrupts ? 1 : 0;
    if (plan.queues > 1 && plan.rss != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = plan.rss;
    }
    return conf;
}

Result<void> set_up_queues(const PortPlan& plan, rte_mempool* pool) {
    const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(plan.port));
    for (uint16_t queue = 0; queue < plan.queues; ++queue) {
        const int rx =
            rte_eth_rx_queue_setup(plan.port, queue, plan.rx_descriptors, socket, nullptr, pool);
        if (rx != 0)
            return failed(plan, "rx queue setup", rx);
        const int tx =
            rte_eth_tx_queue_setup(plan.port, queue, plan.tx_descriptors, socket, nullptr);
        if (tx != 0)
            return failed(plan, "tx queue setup", tx);
    }
    return {};
}

using Notes = std::vector<std::string>;

/// Sets the MTU and promiscuous mode. The port is still useful if these fail.
void set_extras(const PortPlan& plan, Notes& notes) {
    if (plan.mtu != 0)
        if (const int status = rte_eth_dev_set_mtu(plan.port, plan.mtu); status != 0)
            notes.push_back(failed(plan, "its MTU cannot be set", status).text());
    if (const int status = rte_eth_promiscuous_enable(plan.port); status != 0)
        notes.push_back(failed(plan, "has no promiscuous mode", status).text());
}

/// `notes` are to be printed if the port is used with this plan.
Result<void> try_to_start(const PortPlan& plan, rte_mempool* pool, Notes& notes) {
    notes.clear();
    const rte_eth_conf conf = configuration(plan);
    const int configured = rte_eth_dev_configure(plan.port, plan.queues, plan.queues, &conf);
    if (configured != 0)
        return failed(plan, "configuration", configured);
    if (auto done = set_up_queues(plan, pool); !done)
        return done;
    set_extras(plan, notes);
    if (const int status = rte_eth_dev_start(plan.port); status != 0)
        return failed(plan, "start", status);
    return {};
}

/// The driver's preferred number if it is smaller than `now`, else half of `now`.
uint16_t fewer(uint16_t now, uint16_t preferred) {
    return preferred != 0 && preferred < now ? preferred : static_cast<uint16_t>(now / 2);
}

bool take_descriptors(PortPlan& plan) {
    rte_eth_dev_info info{};
    if (rte_eth_dev_info_get(plan.port, &info) != 0)
        return false;
    uint16_t rx = fewer(plan.rx_descriptors, info.default_rxportconf.ring_size);
    uint16_t tx = fewer(plan.tx_descriptors, info.default_txportconf.ring_size);
    rx = std::max(rx, std::min(plan.rx_descriptors, kFewestDescriptors));
    tx = std::max(tx, std::min(plan.tx_descriptors, kFewestDescriptors));
    if (rte_eth_dev_adjust_nb_rx_tx_desc(plan.port, &rx, &tx) != 0)
        return false;
    rx = std::min(rx, plan.rx_descriptors);
    tx = std::min(tx, plan.tx_descriptors);
    if (rx == plan.rx_descriptors && tx == plan.tx_descriptors)
        return false;
    plan.rx_descriptors = rx;
    plan.tx_descriptors = tx;
    return true;
}

struct Reduction {
    bool (*take)(PortPlan&);  ///< false: no more to take
    std::string (*left)(const PortPlan&);
};

constexpr std::array<Reduction, 7> kReductions = {{
    {[](PortPlan& plan) { return std::exchange(plan.offloads, {}).any(); },
     [](const PortPlan& /*plan*/) {
         return std::string("without offloads, so checksums and segmentation are done in software");
     }},
    {[](PortPlan& plan) { return std::exchange(plan.rx_interrupts, false); },
     [](const PortPlan& /*plan*/) { return std::string("without rx interrupts"); }},
    {[](PortPlan& plan) { return std::exchange(plan.rss, 0) != 0 && plan.queues > 1; },
     [](const PortPlan& /*plan*/) {
         return std::string("without RSS, so one queue gets most of what comes");
     }},
    {[](PortPlan& plan) {
         const bool more = plan.queues > 1;
         plan.queues = static_cast<uint16_t>(std::max(1, plan.queues / 2));
         return more;
     },
     [](const PortPlan& plan) { return "with fewer queues: " + std::to_string(plan.queues); }},
    {take_descriptors,
     [](const PortPlan& plan) {
         return "with " + std::to_string(plan.rx_descriptors) + " rx and " +
                std::to_string(plan.tx_descriptors) + " tx descriptors for each queue";
     }},
    {[](PortPlan& plan) { return std::exchange(plan.mtu, 0) != 0; },
     [](const PortPlan& /*plan*/) {
         return std::string("without the MTU of its devices: longer frames are lost");
     }},
    // The tx_offloads are not in this table: the frames to be sent need them.
    {[](PortPlan& plan) { return std::exchange(plan.rx_offloads, 0) != 0; },
     [](const PortPlan& /*plan*/) {
         return std::string("without rx in several segments: longer frames are lost");
     }},
}};

/// Tries the rows one by one; if `together`, each with all rows before it. `why`: the error of the
/// original plan.
bool start_with_less(
    PortPlan& plan, rte_mempool* pool, bool together, const Error& why, Notes& notes
) {
    PortPlan less = plan;
    Notes without;
    for (const Reduction& reduction : kReductions) {
        if (!together) {
            less = plan;
            without.clear();
        }
        bool started = false;
        bool took = false;
        while (!started && reduction.take(less)) {
            took = true;
            started = static_cast<bool>(try_to_start(less, pool, notes));
        }
        if (took)
            without.push_back(reduction.left(less));
        if (!started)
            continue;
        for (const std::string& what : without)
            notes.push_back(why.text() + "; started " + what);
        plan = less;
        return true;
    }
    return false;
}

}  // namespace

Result<void> start_port(PortPlan& plan, rte_mempool* pool) {
    Notes notes;
    if (auto done = try_to_start(plan, pool, notes); !done)
        if (!start_with_less(plan, pool, false, done.error(), notes) &&
            !start_with_less(plan, pool, true, done.error(), notes))
            return done;
    for (const std::string& note : notes)
        print_note(note);
    return {};
}

}  // namespace vduse::app
