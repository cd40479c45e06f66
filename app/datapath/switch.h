// SPDX-License-Identifier: BSD-3-Clause

// The datapath of the application: worker lcores that carry frames between endpoints.
//
// An endpoint is a device or a DPDK port. The work is a list of lanes. A lane polls one queue of
// one endpoint and sends the frames to another endpoint (or, for --reflect, back to the same one):
//
//     --patch vd0:net_tap0     vd0 pair 0  ──►  net_tap0      All lanes of a patch belong to one
//                              vd0 pair 1  ──►  net_tap0      worker, so two threads never use the
//                              net_tap0 0  ──►  vd0           same queue.
//
// If a device has a group for each pair (groups=per-pair), a patch is split into as many jobs as
// its sides have queues in common, and each job may have its own worker. Job k of n has the queues
// k, k + n, ... of both sides. The frames of two jobs can meet in one queue while the guest driver
// uses fewer pairs than the device has, or changes their number. So each queue of such a patch has
// a tx lock.
//
// A lane may also lead into a bridge (bridge.h), which decides for each frame of the burst where it
// goes. All lanes of a bridge belong to one worker, and so does the bridge itself.
//
// A worker polls its lanes in turn until it is stopped. Lanes that are idle are polled less often
// (poll_order.h). Lanes with expensive bursts share the worker with the others by time
// (fair_share.h). A worker neither allocates, logs nor waits (except for a tx lock): frames that
// the other side has no room for are dropped and counted. An idle worker may sleep (idle.h).
//
// Threads: the main lcore calls everything here; workers run their loop in switch.cc.
#pragma once

#include <rte_lcore.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "app/datapath/placement.h"
#include "vduse/device.h"
#include "vduse/info.h"

namespace vduse::app {

struct WorkerOptions {
    std::chrono::microseconds idle{0};  ///< workers sleep after this time without work; 0: never
    bool gro = false;                   ///< frames from ports are merged for guests (gro.h)
};

/// How often a worker slept.
struct WorkerInfo {
    unsigned lcore = 0;
    uint64_t sleeps = 0;
    uint64_t wake_ups = 0;  ///< sleeps that ended before their timeout
};

class Switch {
  public:
    Switch();
    Switch(const Switch&) = delete;
    Switch& operator=(const Switch&) = delete;
    ~Switch();

    /// Call these three before `assign_workers`.
    void patch(Endpoint& a, Endpoint& b);
    void reflect(Endpoint& endpoint);
    /// `members` have the order that `bridge` has. Both live as long as this object.
    void join(Bridge& bridge, std::span<Endpoint* const> members);

    /// Gives each job a worker lcore (placement.h) and writes it into the endpoints. Returns the
    /// plan as text.
    Result<std::string> assign_workers();

    /// Frames from guests are built in mbufs of `pool`. The ports must have been started. Workers
    /// that cannot sleep are named on stderr.
    Result<void> start(rte_mempool* pool, const WorkerOptions& options = {});
    /// Returns when no worker touches an endpoint any more. May be called at any time.
    void stop();
    /// The workers that may sleep.
    [[nodiscard]] std::vector<WorkerInfo> workers() const;

  private:
    struct Worker;
    struct LaneJob;

    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<LaneJob> jobs_;
    std::atomic<bool> stop_ = false;
};

}  // namespace vduse::app
