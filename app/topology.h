// SPDX-License-Identifier: BSD-3-Clause

// Derives the parameters of ports, the mbuf pool and bridges from the connections in the options.
//
// Threads: any. All but `create_pool` are pure functions of their arguments.
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

/// What port number `port` of the options needs for the devices that it is connected to. `devices`
/// have the order of the options.
PortNeeds needs_of(
    const Options& options, const std::vector<std::unique_ptr<Device>>& devices, size_t port
);

/// A pool with mbufs for all workers and for the queues of the ports.
Result<rte_mempool*> create_pool(
    const Options& options, const std::vector<Result<PortPlan>>& plans
);

/// The two kinds of bridge members. `given`: the device's `mac=`.
BridgeMember device_member(const Endpoint& endpoint, const std::optional<MacAddress>& given);
/// The address of a started port does not change, so it is read once.
BridgeMember port_member(const Endpoint& endpoint);

}  // namespace vduse::app
