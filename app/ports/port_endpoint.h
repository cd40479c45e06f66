// SPDX-License-Identifier: BSD-3-Clause

// A DPDK port as an endpoint of the switch.
//
// If a port fails to start, the devices are still served, because guests may be using them. The
// port's endpoint is out of service from the start: workers do not poll it, frames for it are
// dropped and counted, and the link of a device that is patched to it is down. The port's driver is
// not called any more, except to close the port.
//
// Threads: the blocking thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "app/datapath/endpoint.h"
#include "app/ports/port.h"
#include "vduse/result.h"

struct rte_mempool;

namespace vduse::app {

/// Starts the port if `plan` is not an error. If the port is out of service, stderr has the reason.
std::unique_ptr<Endpoint> make_port_endpoint(
    const std::string& name, uint16_t port, const Result<PortPlan>& plan, rte_mempool* pool
);

}  // namespace vduse::app
