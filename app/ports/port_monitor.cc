// SPDX-License-Identifier: BSD-3-Clause

// How it works: see port_monitor.h. After a request was carried out, the link is read one round
// later: a port that was just set up may not report it yet.
#include "app/ports/port_monitor.h"

#include <rte_ethdev.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "app/control/signals.h"
#include "app/ports/port.h"

namespace vduse::app {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(100);

void read_traffic(Endpoint& port) {
    rte_eth_stats stats{};
    if (rte_eth_stats_get(port.port, &stats) != 0)
        return;
    port.traffic.rx_frames.store(stats.ipackets, std::memory_order_relaxed);
    port.traffic.rx_bytes.store(stats.ibytes, std::memory_order_relaxed);
    port.traffic.tx_frames.store(stats.opackets, std::memory_order_relaxed);
    port.traffic.tx_bytes.store(stats.obytes, std::memory_order_relaxed);
}

void poll(Endpoint& port) {
    if (!port.in_service.load(std::memory_order_relaxed))
        return;
    read_traffic(port);
    PortLink& link = port.link;
    const RequestedLink requested = link.requested.load(std::memory_order_relaxed);
    if (requested != RequestedLink::none && requested != link.set) {
        set_port_link(port.port, requested == RequestedLink::up);
        link.set = requested;
        return;
    }
    link.up.store(port_link_up(port.port), std::memory_order_relaxed);
    link.seen_after.store(link.set, std::memory_order_release);
}

}  // namespace

void PortMonitor::start(std::span<const std::unique_ptr<Endpoint>> ports) {
    if (ports.empty())
        return;
    thread_ = std::jthread([ports](const std::stop_token& stop) {
        block_signals();
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        while (!stop.stop_requested()) {
            for (const auto& port : ports)
                poll(*port);
            never.wait_for(lock, stop, kPeriod, [] { return false; });
        }
    });
}

void PortMonitor::stop() {
    thread_ = {};
}

}  // namespace vduse::app
