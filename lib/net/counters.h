// SPDX-License-Identifier: BSD-3-Clause

// Counters of one virtqueue: one writer (the thread inside the gate), any reader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "vduse/drop.h"

namespace vduse::net {

struct QueueCounters {
    Counter frames;
    Counter bytes;  ///< without the virtio-net header
    std::array<Counter, kDropReasons> drops;
    Counter no_buffer;  ///< to_guest: bursts that left frames to the caller, no buffers
    Counter no_mbuf;    ///< bursts cut short because the mempool was empty: nothing is lost
    Counter interrupts;
    Counter misses;  ///< chains that waited for control to look up their memory
    // See QueueStats.
    Counter csum;
    Counter large;
    Counter csum_done;
    Counter cut;
    // Only for the driver's statistics (net/device_stats.h), about frames counted in `large`:
    Counter large_bytes;
    Counter segments;       ///< from_guest: frames on the wire after segmentation
    Counter segment_bytes;  ///< bytes of these

    void drop(Drop reason) noexcept { drops[static_cast<size_t>(reason)].add(1); }
};

}  // namespace vduse::net
