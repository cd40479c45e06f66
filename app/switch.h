// The datapath of the application: worker lcores that carry frames between endpoints.
//
// An endpoint is a device or a DPDK port. What is to be done is a list of lanes: poll one queue of
// one endpoint, send what came to another endpoint (or, for --reflect, back to the same one):
//
//     --patch vd0:net_tap0     vd0 pair 0  ──►  net_tap0      All lanes of a patch belong to one
//                              vd0 pair 1  ──►  net_tap0      worker, so no queue is ever used by
//                              net_tap0 0  ──►  vd0           two threads.
//
// A lane may also lead into a bridge (bridge.h), which says for each frame of the burst where it
// goes. Again all lanes of a bridge belong to one worker, and so does the bridge itself.
//
// A worker goes round its lanes until it is told to stop. It neither allocates, locks, logs nor
// waits: what the other side has no room for is dropped and counted.
//
// Threads: everything here is called by the main lcore, except the workers' own loop in switch.cc.
#pragma once

#include <rte_lcore.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bridge.h"
#include "net/stats.h"
#include "vduse.h"

namespace vduse::app {

/// A device or a port, as workers, statistics and the link follower see it.
struct Endpoint {
    std::string name;
    Device* device = nullptr;  ///< nullptr: a port
    uint16_t port = 0;         ///< its DPDK number
    uint16_t queues = 0;       ///< pairs of the device; rx queues, and as many tx queues, of a port
    unsigned lcore = LCORE_ID_ANY;        ///< the worker that serves it
    std::atomic<bool> in_service = true;  ///< false: workers leave it alone
    /// Frames that this endpoint had no room for, by its queue or pair. One writer: the worker.
    std::unique_ptr<net::Counter[]> dropped;
};

class Switch {
  public:
    Switch();
    Switch(const Switch&) = delete;
    Switch& operator=(const Switch&) = delete;
    ~Switch();

    /// Before `start`. Picks the next worker lcore in turn, and writes it into the endpoints.
    void patch(Endpoint& a, Endpoint& b);
    void reflect(Endpoint& endpoint);
    /// `members` in the order that `bridge` has them in; both live as long as this object.
    void join(Bridge& bridge, std::span<Endpoint* const> members);

    /// Frames from guests are built in mbufs of `pool`.
    Result<void> start(rte_mempool* pool);
    /// Returns when no worker touches an endpoint any more. May be called at any time.
    void stop();

  private:
    struct Worker;
    Worker& next_worker();

    std::vector<std::unique_ptr<Worker>> workers_;
    size_t turn_ = 0;
    std::atomic<bool> stop_ = false;
};

}  // namespace vduse::app
