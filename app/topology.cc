// SPDX-License-Identifier: BSD-3-Clause

#include "app/topology.h"

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <string>

#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::app {
namespace {

constexpr unsigned kPoolCache = 256;
constexpr uint32_t kWorkerMbufs = 1024;  ///< per worker: bursts in progress and the pool's cache
/// The same if guests may send frames of 64 KiB: a burst of these.
constexpr uint32_t kWorkerMbufsLarge = 1024 + 32 * (kLongestLarge / RTE_MBUF_DEFAULT_DATAROOM + 1);

/// Mbufs that one frame of `mtu` may need.
uint32_t segments(uint16_t mtu) {
    return (max_frame(mtu) + RTE_MBUF_DEFAULT_DATAROOM - 1) / RTE_MBUF_DEFAULT_DATAROOM;
}

/// What a port needs for one endpoint that it is connected to.
PortNeeds needs_for(
    const Options& options,
    const std::vector<std::unique_ptr<Device>>& devices,
    EndpointOption other
) {
    if (other.port)
        return {};
    const DeviceConfig& config = options.devices[other.index].config;
    return {
        .queues = devices[other.index]->queue_pairs(), .mtu = config.mtu, .offloads = config.csum};
}

}  // namespace

PortNeeds needs_of(
    const Options& options, const std::vector<std::unique_ptr<Device>>& devices, size_t port
) {
    const EndpointOption self{true, port};
    for (const PatchOption& patch : options.patches) {
        if (patch.a != self && patch.b != self)
            continue;
        return needs_for(options, devices, patch.a == self ? patch.b : patch.a);
    }
    for (const BridgeOption& bridge : options.bridges) {
        if (std::ranges::find(bridge.members, self) == bridge.members.end())
            continue;
        PortNeeds most;
        for (const EndpointOption member : bridge.members) {
            const PortNeeds needs = needs_for(options, devices, member);
            most.queues = std::max(most.queues, needs.queues);
            most.mtu = std::max(most.mtu, needs.mtu);
            most.offloads |= needs.offloads;
        }
        return most;
    }
    return {};
}

Result<rte_mempool*> create_pool(
    const Options& options, const std::vector<Result<PortPlan>>& plans
) {
    uint32_t longest = 1;
    uint32_t of_worker = kWorkerMbufs;
    for (const DeviceOptions& device : options.devices) {
        longest = std::max(longest, segments(device.config.mtu));
        of_worker = std::max(of_worker, kWorkerMbufs * segments(device.config.mtu));
        if (device.config.csum && device.config.tso)
            of_worker = std::max(of_worker, kWorkerMbufsLarge);
    }
    uint32_t count = of_worker * rte_lcore_count();
    for (const auto& plan : plans)
        if (plan)
            count += plan->queues * (plan->rx_descriptors + plan->tx_descriptors * longest);
    rte_mempool* const pool = rte_pktmbuf_pool_create(
        "vduse-dp",
        count,
        kPoolCache,
        0,
        RTE_MBUF_DEFAULT_BUF_SIZE,
        static_cast<int>(rte_socket_id())
    );
    if (pool == nullptr)
        return Error{rte_errno, "pool of " + std::to_string(count) + " mbufs"};
    return pool;
}

BridgeMember device_member(const Endpoint& endpoint, const std::optional<MacAddress>& given) {
    BridgeMember member;
    member.device = true;
    member.mac = [device = endpoint.device] { return device->mac(); };
    member.given_mac = given;
    return member;
}

BridgeMember port_member(const Endpoint& endpoint) {
    BridgeMember member;
    member.longest = UINT32_MAX;
    if (!endpoint.in_service.load(std::memory_order_relaxed))
        return member;  // frames for it are dropped anyway
    member.longest = max_frame(port_mtu(endpoint.port));
    member.given_mac = port_mac(endpoint.port);
    member.mac = [own = member.given_mac] { return own; };
    return member;
}

}  // namespace vduse::app
