// SPDX-License-Identifier: BSD-3-Clause

// An endpoint: a device or a DPDK port.
//
// Threads: made by the main lcore; what workers touch is atomic or says so.
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

/// What the main lcore wants a port's link to be.
enum class RequestedLink : uint8_t {
    none,  ///< it is left alone
    down,
    up,
};

/// A port's link, between the main lcore and the thread of LinkMonitor (link_monitor.h).
struct PortLink {
    /// Written by the main lcore.
    std::atomic<RequestedLink> requested = RequestedLink::none;
    std::atomic<bool> up = true;  ///< when that thread polled last
    /// The request that was done by then.
    std::atomic<RequestedLink> seen_after = RequestedLink::none;
    RequestedLink set = RequestedLink::none;  ///< that thread's own

    /// What came of the last request, once that is known.
    [[nodiscard]] std::optional<bool> now() const {
        if (seen_after.load(std::memory_order_acquire) != requested.load(std::memory_order_relaxed))
            return std::nullopt;
        return up.load(std::memory_order_relaxed);
    }
};

/// A port's own counters, as the thread of LinkMonitor read them last. Zeros if its PMD has none.
struct PortTraffic {
    std::atomic<uint64_t> rx_frames = 0;
    std::atomic<uint64_t> rx_bytes = 0;
    std::atomic<uint64_t> tx_frames = 0;
    std::atomic<uint64_t> tx_bytes = 0;
};

/// A device or a port, as workers, statistics and the link follower see it.
struct Endpoint {
    std::string name;
    Device* device = nullptr;      ///< nullptr: a port
    std::vector<QueuePair> pairs;  ///< of the device
    uint16_t port = 0;             ///< its DPDK number
    Offloads offloads;             ///< what the port takes unfinished
    bool ip_csum = false;          ///< and large frames' IPv4 headers without their sums
    uint16_t queues = 0;  ///< pairs of the device; rx queues, and as many tx queues, of a port
    Steering tx_queues;   ///< over those of the port
    bool group_per_pair = false;                ///< of the device
    bool persist = false;                       ///< of the device: it stays when we end
    int node = -1;                              ///< the port's NUMA node
    std::map<uint16_t, unsigned> group_lcores;  ///< asked for, by the group
    std::vector<unsigned> lcores;               ///< the workers that poll its queues or pairs
    std::atomic<bool> in_service = true;        ///< false: workers leave it alone
    PortLink link;                              ///< of the port
    PortTraffic traffic;                        ///< of the port
    /// Frames that this endpoint had no room for, by its queue or pair. One writer at a time.
    std::unique_ptr<Counter[]> dropped;
    /// Frames whose sums or segments were left to us, on their way to the port: finished here, or
    /// by the port. By its queue.
    std::unique_ptr<Counter[]> finished;
    std::unique_ptr<Counter[]> offloaded;
    /// Frames that went to the device in a longer one (gro.h). By its pair.
    std::unique_ptr<Counter[]> merged;
    std::unique_ptr<rte_spinlock_t[]> tx_locks;  ///< by its queue or pair; none: it has one worker

    /// It has so many queues or pairs, and no worker polls them yet.
    void set_queues(uint16_t count) {
        queues = count;
        tx_queues = Steering(count);
        lcores.assign(count, LCORE_ID_ANY);
        dropped = std::make_unique<Counter[]>(count);
        finished = std::make_unique<Counter[]>(count);
        offloaded = std::make_unique<Counter[]>(count);
        merged = std::make_unique<Counter[]>(count);
    }
    /// It is this device.
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

/// In service, without workers yet.
std::unique_ptr<Endpoint> make_endpoint(std::string name, uint16_t queues);

}  // namespace vduse::app
