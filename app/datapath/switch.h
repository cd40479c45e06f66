// SPDX-License-Identifier: BSD-3-Clause

// The datapath of the application: worker lcores that carry frames between endpoints.
//
// An endpoint is a device or a DPDK port. What is to be done is a list of lanes: poll one queue of
// one endpoint, send what came to another endpoint (or, for --reflect, back to the same one):
//
//     --patch vd0:net_tap0     vd0 pair 0  ──►  net_tap0      All lanes of a patch belong to one
//                              vd0 pair 1  ──►  net_tap0      worker, so no queue is ever used by
//                              net_tap0 0  ──►  vd0           two threads.
//
// Where a device has a group for each pair (groups=per-pair), a patch is cut into as many jobs as
// both sides have queues in common, each of which may have a worker of its own: job k of n has the
// queues k, k + n, ... of both sides. Their frames still meet when the driver uses fewer pairs than
// it has, or while it changes that, so each queue of such a patch has a tx lock.
//
// A lane may also lead into a bridge (bridge.h), which says for each frame of the burst where it
// goes. All lanes of a bridge belong to one worker, and so does the bridge itself.
//
// A worker goes round its lanes until it is told to stop; lanes whose bursts cost much share it by
// time with the others (fair_share.h). It neither allocates, logs nor waits (but
// for a tx lock): what the other side has no room for is dropped and counted. When nothing comes
// for a while it may sleep (idle.h).
//
// Threads: everything here is called by the main lcore, except the workers' own loop in switch.cc.
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
    std::chrono::microseconds idle{0};  ///< without work for so long they sleep; 0: they never do
    bool gro = false;                   ///< what ports receive is merged for guests (gro.h)
};

/// How a worker that may sleep did.
struct WorkerInfo {
    unsigned lcore = 0;
    uint64_t sleeps = 0;
    uint64_t wake_ups = 0;  ///< sleeps that something ended, and not the time
};

class Switch {
  public:
    Switch();
    Switch(const Switch&) = delete;
    Switch& operator=(const Switch&) = delete;
    ~Switch();

    /// These three before `assign_workers`.
    void patch(Endpoint& a, Endpoint& b);
    void reflect(Endpoint& endpoint);
    /// `members` in the order that `bridge` has them in; both live as long as this object.
    void join(Bridge& bridge, std::span<Endpoint* const> members);

    /// Gives each job a worker lcore (placement.h) and writes it into the endpoints. The plan, for
    /// people.
    Result<std::string> assign_workers();

    /// Frames from guests are built in mbufs of `pool`. Says on stderr who cannot sleep: the ports
    /// must have been started.
    Result<void> start(rte_mempool* pool, const WorkerOptions& options = {});
    /// Returns when no worker touches an endpoint any more. May be called at any time.
    void stop();
    /// Those that may sleep.
    [[nodiscard]] std::vector<WorkerInfo> workers() const;

  private:
    struct Worker;
    struct LaneJob;

    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<LaneJob> jobs_;
    std::atomic<bool> stop_ = false;
};

}  // namespace vduse::app
