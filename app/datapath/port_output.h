// SPDX-License-Identifier: BSD-3-Clause

// Frames for a DPDK port.
//
// A frame from a guest may be unfinished: its checksum is left to us, and it may be one of 64 KiB
// in place of many (vduse/offload.h). Of that a port gets what its driver takes. The rest is
// finished here, in mbufs of the pool. What the port has no room for is dropped and counted,
// segment by segment.
//
// What a hostile guest could try: large frames in small segments, of which each is an mbuf: two
// thousand from one of 64 KiB. They are made a burst at a time, so the pool never holds more of
// them, and the worker's fair share (fair_share.h) counts the time.
//
// Threads: workers, one at a time for each queue (Endpoint::tx_locks).
#pragma once

#include <cstdint>
#include <span>

#include "app/datapath/endpoint.h"

struct rte_mbuf;

namespace vduse::app {

/// Sends all of `frames` that the port takes, and frees the rest.
void send_to_port(Endpoint& port, uint16_t queue, std::span<rte_mbuf*> frames) noexcept;

/// Frees `frames`, which `to` did not take, and counts them.
void drop(Endpoint& to, uint16_t queue, std::span<rte_mbuf*> frames) noexcept;

}  // namespace vduse::app
