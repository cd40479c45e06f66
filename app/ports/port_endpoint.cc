// SPDX-License-Identifier: BSD-3-Clause

#include "app/ports/port_endpoint.h"

#include <rte_ethdev.h>

#include "app/control/console.h"

namespace vduse::app {
namespace {

/// Starts the port. Returns the plan that it was started with.
Result<PortPlan> start(const Result<PortPlan>& plan, rte_mempool* pool) {
    if (!plan)
        return plan;
    PortPlan got = *plan;
    if (auto done = start_port(got, pool); !done)
        return done.error();
    return got;
}

}  // namespace

std::unique_ptr<Endpoint> make_port_endpoint(
    const std::string& name, uint16_t port, const Result<PortPlan>& plan, rte_mempool* pool
) {
    const Result<PortPlan> got = start(plan, pool);
    auto endpoint = make_endpoint(name, got ? got->queues : uint16_t{1});
    endpoint->port = port;
    if (got) {
        endpoint->offloads = offloads_of(got->offloads);
        endpoint->ip_csum = (got->offloads.tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    }
    endpoint->node = rte_eth_dev_socket_id(port);
    if (!got) {
        print_error(got.error().text() + "; the port is out of service");
        endpoint->in_service.store(false, std::memory_order_relaxed);
        endpoint->link.up.store(false, std::memory_order_relaxed);
    }
    return endpoint;
}

}  // namespace vduse::app
