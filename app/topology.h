// SPDX-License-Identifier: BSD-3-Clause

// What the options say of who is joined with whom, for those who make ports, pools and bridges.
//
// Threads: any; pure functions of their arguments, but for `create_pool`.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "app/options/options.h"
#include "app/ports/port.h"
#include "vduse/mac.h"

struct rte_mempool;

namespace vduse::app {

/// What the devices that port `port` of the options is joined with ask of it. `devices`: in the
/// order of the options.
PortNeeds needs_of(
    const Options& options, const std::vector<std::unique_ptr<Device>>& devices, size_t port
);

/// A pool with mbufs for all workers and for the queues of the ports.
Result<rte_mempool*> create_pool(
    const Options& options, const std::vector<Result<PortPlan>>& plans
);

/// The two kinds of bridge members. `given`: the device's `mac=`.
BridgeMember device_member(const Endpoint& endpoint, const std::optional<MacAddress>& given);
/// Nobody changes the address of a port that is started, so it is asked once.
BridgeMember port_member(const Endpoint& endpoint);

}  // namespace vduse::app
