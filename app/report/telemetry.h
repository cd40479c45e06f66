// SPDX-License-Identifier: BSD-3-Clause

// Commands of DPDK's telemetry socket (for dpdk-telemetry.py or any other client):
//
//     /vduse/list              names of the devices
//     /vduse/info,NAME         kernel, status, features, receive filter, groups, spaces
//     /vduse/stats,NAME        counters, summed over the queue pairs
//     /vduse/queue,NAME,N      one virtqueue in virtio's numbering
//     /vduse/group,NAME,N      one virtqueue group
//     /vduse/space,NAME,N      one address space and its first 256 regions
//     /vduse/events,NAME       the last 64 messages of the kernel
//     /vduse/bridge,NAME       counters of a bridge: bridge0 is the first on the command line
//
// DPDK runs callbacks on one thread per client, but only control may read the state. So the main
// lcore runs each command between two rounds of its loop (control_call.h); worker lcores are not
// involved. Invalid parameters get a negative errno value, which clients see as `null`.
//
// Threads: the main lcore. Callbacks that come before or after this object's life get -ENODEV.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"

namespace vduse::app {

class Telemetry {
  public:
    /// One at a time. `wake` makes the control thread call `serve` soon; `devices` and `bridges`
    /// outlive this object; `control_lcore` serves the control queues.
    Telemetry(
        std::function<void()> wake,
        std::vector<const Endpoint*> devices,
        std::vector<const Bridge*> bridges,
        unsigned control_lcore
    );
    Telemetry(const Telemetry&) = delete;
    Telemetry& operator=(const Telemetry&) = delete;
    ~Telemetry();

    /// Answers the waiting clients.
    void serve();

    struct TelemetryState;  ///< shared with callbacks

  private:
    std::shared_ptr<TelemetryState> state_;
};

}  // namespace vduse::app
