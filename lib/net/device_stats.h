// SPDX-License-Identifier: BSD-3-Clause

// Statistics that the driver asks for over the control queue (virtio 1.4, 5.1.6.5, "Device
// Statistics"; VIRTIO_NET_F_DEVICE_STATS): what `ethtool -S` and qstats of Linux show of the
// device.
//
// How it works: STATS_QUERY is answered with the types that we count, STATS_GET names virtqueues
// and types, and is answered with a list of records, in the order of the request and, for a queue,
// of the types' numbers. Receive is the driver's word: a receiveq is our queue to the guest.
//
// What of it is counted, and what is always 0:
//
//   basic       frames, bytes, interrupts, drops. Notifications are 0: data queues are polled, and
//               kicks that end a thread's sleep are not counted. Overruns are 0: a frame for which
//               there is no buffer stays with the caller.
//   csum (tx)   all of it. There is none for receiveqs, as frames that are known to be right, which
//               it wants to be told, are not counted.
//   gso         frames, bytes, and how many frames of the wire those stand for, whether they are
//               cut here or by whom they are for. Coalesced is 0: nobody does it. A frame that says
//               so and is no longer than a segment is none of them, so "noseg" is 0, too.
//   cvq         commands, with the one that asks.
//
// What a hostile driver could try: queues that are not there, types of another direction, types
// whose feature it has not negotiated, half an entry, thousands of entries, no room for the answer.
// All entries are checked before one is answered; no more is written than there is room for, and no
// record in part.
//
// Threads: control. Counters are written by data threads meanwhile, so those of one record may be a
// burst apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "net/counters.h"

namespace vduse::net {

/// Of a data queue, by its index.
using CountersOf = std::function<const QueueCounters&(uint32_t queue)>;

/// Commands of this class, VIRTIO_NET_CTRL_STATS.
inline constexpr uint8_t kStatsClass = 8;

/// What may be asked about, and what there is to say.
struct StatsScope {
    uint64_t features;  ///< negotiated
    uint16_t pairs;     ///< of the device
    uint64_t commands;  ///< of the control queue, with this one
    uint64_t refused;   ///< of them
    const CountersOf& counters;
};

/// What a command is answered with, `room` bytes at most. Nothing: it is wrong.
std::optional<std::vector<uint8_t>> answer_stats(
    uint8_t command, std::span<const uint8_t> data, size_t room, const StatsScope& scope
);

}  // namespace vduse::net
