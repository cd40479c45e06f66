// SPDX-License-Identifier: BSD-3-Clause

// Sends frames to a DPDK port.
//
// A frame from a guest may be unfinished: its checksum may be missing, and it may be a large frame
// of up to 64 KiB that must be segmented (vduse/offload.h). The port's driver does the part that it
// supports. The rest is done here, in mbufs of the pool. Frames that the port has no room for are
// dropped and counted, segment by segment.
//
// What a hostile guest could try: large frames with small segments. A frame of 64 KiB gives two
// thousand segments, each in an mbuf. They are made and sent a burst at a time, which limits the
// mbufs in use, and the worker's fair share (fair_share.h) accounts for the time.
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
