// SPDX-License-Identifier: BSD-3-Clause

// A DPDK port as an endpoint of the switch.
//
// A port that cannot be had is no reason to leave devices alone, which guests may be using: its
// endpoint is out of service from the start. Workers neither poll it nor send to it, what is sent
// is dropped and counted, and the link of a device that is patched to it is down. Nobody calls its
// driver any more, except to close it.
//
// Threads: the blocking one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "app/datapath/endpoint.h"
#include "app/ports/port.h"
#include "vduse/result.h"

struct rte_mempool;

namespace vduse::app {

/// Starts the port, if there is a plan for it, and says on stderr why not.
std::unique_ptr<Endpoint> make_port_endpoint(
    const std::string& name, uint16_t port, const Result<PortPlan>& plan, rte_mempool* pool
);

}  // namespace vduse::app
