// SPDX-License-Identifier: BSD-3-Clause

// The control queue (virtio 1.3, 5.1.6.5): commands of the driver, executed on the control thread.
//
// A chain is {class, command, data...} readable and one ack byte writable; where the driver asks
// for something, the result goes behind the ack, as far as there is room (net/device_stats.h). The
// readable part is copied once into a buffer whose size is bounded; every length is checked against
// the row of the command before its handler runs, so no handler can forget to. A handler edits a
// copy of the ControlState. Nothing is called back: who serves the queue gets that copy, shows it
// to whoever must know (the journal, the data threads), and says whether that was done. Only then
// is the command acknowledged, and is the copy the state:
//
//     ControlBurst burst(queue, ring);
//     while (const ControlState* proposed = burst.next())
//         burst.finish(publish(*proposed));
//
// What a hostile driver could try: lengths that lie, tables with 2^32 entries, commands of
// gigabytes, no room for the ack, commands by the thousand. Everything that is not exactly right is
// answered VIRTIO_NET_ERR and changes nothing; a chain without room for the ack goes back with
// length 0; a ControlBurst ends, so that the kernel's messages are answered in between.
//
// Threads: control.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "net/device_stats.h"
#include "net/filter.h"
#include "ring/split.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::net {

/// What the driver has programmed; value-initialised it is the state after reset.
struct ControlState {
    Filter filter;
    uint16_t active_pairs = 1;
    /// Of VIRTIO_NET_F_GUEST_*, by their bits, those negotiated that are switched off.
    uint64_t offloads_off = 0;
};

struct ControlCounters {
    uint64_t commands = 0;
    uint64_t refused = 0;
};

class ControlQueue {
  public:
    /// `max_pairs`: what MQ_VQ_PAIRS_SET may ask for. `counters`: what the driver is told of its
    /// queues; without, nothing.
    explicit ControlQueue(uint16_t max_pairs, CountersOf counters = {})
        : max_pairs_(max_pairs), counters_of_(std::move(counters)) {}

    /// Back to the state after reset, with what the driver negotiated.
    void reset(uint64_t features, const MacAddress& mac);

    /// As another process left it.
    void restore(uint64_t features, const ControlState& state) {
        features_ = features;
        state_ = state;
    }

    /// What one command, the readable part of a chain, makes of the state. Nothing: it is wrong.
    [[nodiscard]] std::optional<ControlState> propose(std::span<const uint8_t> command) const;

    /// What a command that asks for something, and changes nothing, is answered with: `room` bytes
    /// at most. Nothing: it is another one, or wrong.
    [[nodiscard]] std::optional<std::vector<uint8_t>> report(
        std::span<const uint8_t> command, size_t room
    ) const;

    /// Counts a command that was answered so.
    void finish_report() { ++counters_.commands; }
    /// Counts any other. With what it proposed that is the state from now on; without, it was
    /// refused.
    void finish(std::optional<ControlState> proposed);

    [[nodiscard]] const ControlState& state() const noexcept { return state_; }
    [[nodiscard]] const ControlCounters& counters() const noexcept { return counters_; }

  private:
    uint16_t max_pairs_;
    CountersOf counters_of_;
    uint64_t features_ = 0;
    ControlState state_;
    ControlCounters counters_;
};

/// Up to a burst of commands, one after the other: each is answered before the next is looked up.
class ControlBurst {
  public:
    ControlBurst(ControlQueue& queue, ring::SplitRing& ring);
    ControlBurst(const ControlBurst&) = delete;
    ControlBurst& operator=(const ControlBurst&) = delete;

    /// What the next command proposes; `finish` answers it. Those that are wrong are answered on
    /// the way, and so are those that only ask. nullptr: there are no more.
    const ControlState* next();

    /// VIRTIO_NET_OK if what it proposed was `published`, else VIRTIO_NET_ERR.
    void finish(bool published);

    /// Chains that went back to the driver.
    [[nodiscard]] uint16_t served() const noexcept { return served_; }

  private:
    void answer();

    ControlQueue& queue_;
    ring::SplitRing& ring_;
    std::array<ring::Chain, kMaxBurst> chains_;
    uint16_t seen_;
    uint16_t served_ = 0;
    std::vector<uint8_t> command_;
    std::optional<ControlState> proposed_;
    std::optional<std::vector<uint8_t>> result_;
};

}  // namespace vduse::net
