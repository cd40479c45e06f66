// SPDX-License-Identifier: BSD-3-Clause

// An endpoint: a device or a DPDK port.
//
// Threads: the main lcore creates it. Members that change while workers run are atomic, or their
// comment says who writes them.
#pragma once

#include <rte_lcore.h>
#include <rte_spinlock.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/counter.h"
#include "vduse/device.h"
#include "vduse/info.h"
#include "vduse/offload.h"
#include "vduse/steering.h"

namespace vduse::app {

/// The state of a port's link that the main lcore requests.
enum class RequestedLink : uint8_t {
    none,  ///< the link is left alone
    down,
    up,
};

/// A port's link, shared by the main lcore and PortMonitor's thread (port_monitor.h).
struct PortLink {
    /// Written by the main lcore.
    std::atomic<RequestedLink> requested = RequestedLink::none;
    std::atomic<bool> up = true;  ///< as PortMonitor last read it
    /// The request that had been carried out when `up` was read.
    std::atomic<RequestedLink> seen_after = RequestedLink::none;
    RequestedLink set = RequestedLink::none;  ///< used by PortMonitor's thread only

    /// Whether the link is up, read after the last request was carried out; nothing until then.
    [[nodiscard]] std::optional<bool> now() const {
        if (seen_after.load(std::memory_order_acquire) != requested.load(std::memory_order_relaxed))
            return std::nullopt;
        return up.load(std::memory_order_relaxed);
    }
};

/// A port's own counters, as the thread of PortMonitor read them last. Zeros if its PMD has none.
struct PortTraffic {
    std::atomic<uint64_t> rx_frames = 0;
    std::atomic<uint64_t> rx_bytes = 0;
    std::atomic<uint64_t> tx_frames = 0;
    std::atomic<uint64_t> tx_bytes = 0;
};

/// A device or a port, as workers, statistics and the link policy see it.
struct Endpoint {
    std::string name;
    Device* device = nullptr;      ///< nullptr: a port
    std::vector<QueuePair> pairs;  ///< of the device
    uint16_t port = 0;             ///< its DPDK number
    Offloads offloads;             ///< what the port finishes itself (vduse/offload.h)
    bool ip_csum = false;          ///< the port also makes IPv4 header checksums of large frames
    uint16_t queues = 0;  ///< pairs of a device; rx queues, and as many tx queues, of a port
    Steering tx_queues;   ///< over the port's tx queues
    bool group_per_pair = false;                ///< of the device
    bool persist = false;                       ///< of the device: it stays when the process exits
    int node = -1;                              ///< the port's NUMA node
    std::map<uint16_t, unsigned> group_lcores;  ///< --group-lcore, by group
    std::vector<unsigned> lcores;               ///< the worker that polls each queue or pair
    std::atomic<bool> in_service = true;        ///< false: workers leave it alone
    PortLink link;                              ///< of the port
    PortTraffic traffic;                        ///< of the port
    /// Frames dropped on the way to this endpoint, by queue or pair. One writer at a time.
    std::unique_ptr<Counter[]> dropped;
    /// Frames without checksum or segmentation on the way to the port, finished in software or
    /// offloaded to the port. By queue.
    std::unique_ptr<Counter[]> finished;
    std::unique_ptr<Counter[]> offloaded;
    /// Frames that reached the device as a part of a longer frame (gro.h). By pair.
    std::unique_ptr<Counter[]> merged;
    std::unique_ptr<rte_spinlock_t[]> tx_locks;  ///< by queue or pair; nullptr: it has one worker

    /// Sets the number of queues or pairs. No worker polls them yet.
    void set_queues(uint16_t count) {
        queues = count;
        tx_queues = Steering(count);
        lcores.assign(count, LCORE_ID_ANY);
        dropped = std::make_unique<Counter[]>(count);
        finished = std::make_unique<Counter[]>(count);
        offloaded = std::make_unique<Counter[]>(count);
        merged = std::make_unique<Counter[]>(count);
    }
    /// Makes this the endpoint of device `its`.
    void set_device(Device& its) {
        device = &its;
        for (uint16_t pair = 0; pair < its.queue_pairs(); ++pair)
            pairs.push_back(its.queue_pair(pair));
    }
    /// The lcore that serves `group` of the device.
    [[nodiscard]] unsigned lcore_of(const GroupInfo& group, unsigned control_lcore) const {
        return group.control ? control_lcore : lcores[group.first_queue / 2];
    }
};

/// The endpoint is in service and has no workers yet.
std::unique_ptr<Endpoint> make_endpoint(std::string name, uint16_t queues);

}  // namespace vduse::app
