// SPDX-License-Identifier: BSD-3-Clause

// Statistics that the driver queries over the control queue (virtio 1.4, 5.1.6.5, "Device
// Statistics"; VIRTIO_NET_F_DEVICE_STATS). Linux shows them in `ethtool -S` and qstats.
//
// How it works: STATS_QUERY is answered with the supported types. STATS_GET names virtqueues and
// types, and is answered with a list of records, in the order of the request and, within a queue,
// of the type numbers. "Receive" is the driver's term: a receiveq is our queue to the guest.
//
// Which values are counted, and which are always 0:
//
//   basic       frames, bytes, interrupts, drops. Notifications are 0: data queues are polled, and
//               kicks that end a thread's sleep are not counted. Overruns are 0: a frame for which
//               there is no buffer stays with the caller.
//   csum (tx)   all values. There is no such type for receiveqs: it would need the number of frames
//               whose checksum is known to be good, which is not counted.
//   gso         frames, bytes, and the number of frames on the wire after segmentation, here or at
//               the receiver (transmitqs only). Coalesced is 0: nothing is coalesced. "noseg" is 0,
//               too: a frame that is marked as large but not longer than one segment is not counted
//               as large.
//   cvq         commands, including this query.
//
// What a hostile driver could try: queues that do not exist, types of the other direction, types
// whose feature was not negotiated, half an entry, thousands of entries, no room for the answer.
// All entries are checked before one is answered. No more is written than there is room for, and
// only whole records.
//
// Threads: control. Data threads update the counters meanwhile, so the values of one record may be
// a burst apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "net/counters.h"

namespace vduse::net {

/// The counters of a data queue, by its index.
using CountersOf = std::function<const QueueCounters&(uint32_t queue)>;

/// VIRTIO_NET_CTRL_STATS.
inline constexpr uint8_t kStatsClass = 8;

/// The queues that may be queried, and the values.
struct StatsScope {
    uint64_t features;  ///< negotiated
    uint16_t pairs;     ///< of the device
    uint64_t commands;  ///< of the control queue, including this one
    uint64_t refused;   ///< commands that were refused
    const CountersOf& counters;
};

/// The answer to a command, at most `room` bytes; nullopt if the command is invalid.
std::optional<std::vector<uint8_t>> answer_stats(
    uint8_t command, std::span<const uint8_t> data, size_t room, const StatsScope& scope
);

}  // namespace vduse::net
