// SPDX-License-Identifier: BSD-3-Clause

// DPDK ports: found by name, set up to fit the device on the other side, started, stopped.
//
// Setup has two steps, because the ports' rings determine the size of the mbuf pool, and ports need
// the pool. `plan_port` reads the port's capabilities and decides. `start_port` carries out the
// plan, or as much of it as the port's driver accepts.
//
// Threads: the blocking thread; the two link functions on PortMonitor's thread. Control, which is
// the main lcore, only calls `port_mtu` and `port_mac`: the other functions may wait for a lock
// whose holder waits for our devices.
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

/// What the port is needed for. If it cannot do all of it, stderr has a note of what is missing.
struct PortNeeds {
    uint16_t queues = 1;
    uint16_t mtu = 0;            ///< 0: any
    bool rx_interrupts = false;  ///< if supported
    bool offloads = false;       ///< a device leaves checksums and segmentation to the port
};

struct PortPlan {
    std::string name;
    uint16_t port = 0;
    uint16_t queues = 1;  ///< rx queues, and as many tx queues
    uint16_t mtu = 0;     ///< 0: not changed
    uint16_t rx_descriptors = 1024;
    uint16_t tx_descriptors = 1024;
    uint64_t rx_offloads = 0;  ///< as the frame length requires
    uint64_t tx_offloads = 0;
    PortOffloads offloads;  ///< checksums and segmentation
    uint64_t rss = 0;
    bool rx_interrupts = false;
};

/// The DPDK port number. Code EINVAL: `what` lists the existing ports.
Result<uint16_t> find_port(const std::string& name);

/// Prints a note on stderr for each need that the port does not meet and that is not essential.
Result<PortPlan> plan_port(const std::string& name, uint16_t port, const PortNeeds& needs);

/// The most queues for a port of `driver`: with more, this DPDK is known to end the process.
uint16_t safe_queues(std::string_view driver);

/// Configures and starts the port, in promiscuous mode. If the driver refuses, the plan is reduced
/// in steps: no checksum and segmentation offloads, no rx interrupts, no RSS, fewer queues, fewer
/// descriptors, no MTU, no optional offloads. `plan` is then the reduced plan, and stderr has a
/// note for each reduction. The error is that of the original plan.
Result<void> start_port(PortPlan& plan, rte_mempool* pool);

void stop_port(uint16_t port);

/// The port must be started.
uint16_t port_mtu(uint16_t port);

/// The port's own address, or nothing. The port must be started.
std::optional<MacAddress> port_mac(uint16_t port);

/// A port that does not report its link counts as up.
bool port_link_up(uint16_t port);

/// Has no effect if the port's driver does not support it.
void set_port_link(uint16_t port, bool up);

}  // namespace vduse::app
