// SPDX-License-Identifier: BSD-3-Clause

// A lane: polls one queue of one endpoint, and sends what came to another one, or into a bridge.
//
// Threads: a worker's. It neither allocates nor logs: what the other side has no room for is
// dropped and counted.
#pragma once

#include <cstdint>
#include <vector>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "app/datapath/gro.h"

struct rte_mempool;

namespace vduse::app {

/// A bridge and who is in it.
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
    uint16_t member = 0;  ///< `from` as the bridge knows it
};

/// One burst; false when there was nothing to do. `gro`: what ports receive is merged for devices
/// that take large frames; nullptr: it is not.
bool run(const Lane& lane, rte_mempool* pool, Gro* gro) noexcept;

}  // namespace vduse::app
