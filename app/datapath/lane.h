// SPDX-License-Identifier: BSD-3-Clause

// A lane polls one queue of one endpoint and sends the frames to another endpoint or into a bridge.
//
// Threads: the worker. A lane neither allocates nor logs: frames that the other side has no room
// for are dropped and counted.
#pragma once

#include <cstdint>
#include <vector>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "app/datapath/gro.h"

struct rte_mempool;

namespace vduse::app {

/// A bridge and its members.
struct Joined {
    Bridge* bridge;
    std::vector<Endpoint*> members;
};

/// Polls one queue of `from` and sends to `to`, or to the members of a bridge.
struct Lane {
    Endpoint* from;
    Endpoint* to;  ///< nullptr: `joined` decides
    uint16_t queue;
    const Joined* joined = nullptr;
    uint16_t member = 0;  ///< the bridge's number of `from`
};

/// One burst. Returns false if there was nothing to do. `gro` merges frames from ports for devices
/// that accept large frames; nullptr: no merging.
bool run(const Lane& lane, rte_mempool* pool, Gro* gro) noexcept;

}  // namespace vduse::app
