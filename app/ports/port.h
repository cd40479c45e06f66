// SPDX-License-Identifier: BSD-3-Clause

// DPDK ports: found by name, set up to fit the device on the other side, started, stopped.
//
// Two steps, because the ports' rings decide the size of the mbuf pool, and ports need the pool:
// `plan_port` reads what the port can do and decides, `start_port` does it, or as much of it as the
// port's driver really gives.
//
// Threads: the blocking one; the two functions of links, the thread of LinkMonitor. Control, which
// is the main lcore, calls `port_mtu` and `port_mac` only: all others may wait for who waits for
// our devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "app/ports/port_offloads.h"
#include "vduse/mac.h"
#include "vduse/result.h"

struct rte_mempool;

namespace vduse::app {

/// What the port is needed for. Of what it has not, it gets less, with a note on stderr.
struct PortNeeds {
    uint16_t queues = 1;
    uint16_t mtu = 0;            ///< 0: whatever it has
    bool rx_interrupts = false;  ///< where it can
    bool offloads = false;       ///< a device leaves checksums and segments to it
};

struct PortPlan {
    std::string name;
    uint16_t port = 0;
    uint16_t queues = 1;  ///< rx queues, and as many tx queues
    uint16_t mtu = 0;     ///< 0: not changed
    uint16_t rx_descriptors = 1024;
    uint16_t tx_descriptors = 1024;
    uint64_t rx_offloads = 0;  ///< as the length of frames makes necessary
    uint64_t tx_offloads = 0;
    PortOffloads offloads;  ///< of checksums and segments
    uint64_t rss = 0;
    bool rx_interrupts = false;
};

/// The DPDK number of a port. Code EINVAL: `what` lists those that exist.
Result<uint16_t> find_port(const std::string& name);

/// Says on stderr what the port cannot do and we can do without.
Result<PortPlan> plan_port(const std::string& name, uint16_t port, const PortNeeds& needs);

/// Queues that a port of `driver` may get: with more, this DPDK is known to end the process.
uint16_t safe_queues(std::string_view driver);

/// Configures and starts it, in promiscuous mode. A driver that refuses is asked for less, in
/// steps: no checksums and segments, no rx interrupts, no RSS, fewer queues, fewer descriptors, no
/// MTU, no optional offloads. `plan` is then what it got, and stderr has a note for each thing that
/// it is without. The error is that of the plan as it was.
Result<void> start_port(PortPlan& plan, rte_mempool* pool);

void stop_port(uint16_t port);

/// Of a port that is started.
uint16_t port_mtu(uint16_t port);

/// Its own, of a port that is started. Nothing where it has none.
std::optional<MacAddress> port_mac(uint16_t port);

/// A port that does not tell is taken for up.
bool port_link_up(uint16_t port);

/// Where the port's driver can.
void set_port_link(uint16_t port, bool up);

}  // namespace vduse::app
