// SPDX-License-Identifier: BSD-3-Clause

// The control queue (virtio 1.3, 5.1.6.5): commands of the driver, executed on the control thread.
//
// A chain is {class, command, data...}, readable, and one ack byte, writable. The result of a query
// follows the ack, as far as there is room (net/device_stats.h). The readable part is copied once,
// into a buffer of bounded size. Every length is checked against the command's row in the table
// before its handler runs, so no handler can forget to. (Statistics have no row;
// net/device_stats.h checks them.) A handler edits a copy of the ControlState.
// There are no callbacks: the caller gets the copy, publishes it (to the journal and the data
// threads), and reports whether that succeeded. Only then is the command acknowledged and does the
// copy become the state:
//
//     ControlBurst burst(queue, ring);
//     while (const ControlState* proposed = burst.next())
//         burst.finish(publish(*proposed));
//
// What a hostile driver could try: wrong lengths, tables with 2^32 entries, commands of gigabytes,
// no room for the ack, thousands of commands. Any command that is not exactly right is answered
// with VIRTIO_NET_ERR and changes nothing. A chain without room for the ack is returned with length
// 0. A ControlBurst is bounded, so the kernel's messages are answered in between.
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

/// The state that the driver has programmed. Value-initialised, it is the state after reset.
struct ControlState {
    Filter filter;
    uint16_t active_pairs = 1;
    /// Bits of the VIRTIO_NET_F_GUEST_* features that were negotiated and are switched off.
    uint64_t offloads_off = 0;
};

struct ControlCounters {
    uint64_t commands = 0;
    uint64_t refused = 0;
};

class ControlQueue {
  public:
    /// `max_pairs`: limit of MQ_VQ_PAIRS_SET. `counters`: source of the statistics that the driver
    /// can query; without it, queries are refused.
    explicit ControlQueue(uint16_t max_pairs, CountersOf counters = {})
        : max_pairs_(max_pairs), counters_of_(std::move(counters)) {}

    /// Returns to the state after reset, with the features that the driver negotiated.
    void reset(uint64_t features, const MacAddress& mac);

    /// Restores the state that another process left.
    void restore(uint64_t features, const ControlState& state) {
        features_ = features;
        state_ = state;
    }

    /// The state after `command`, the readable part of a chain; nullopt if the command is invalid.
    [[nodiscard]] std::optional<ControlState> propose(std::span<const uint8_t> command) const;

    /// The answer to a query, which changes nothing: at most `room` bytes. nullopt if `command` is
    /// not a query or is invalid.
    [[nodiscard]] std::optional<std::vector<uint8_t>> report(
        std::span<const uint8_t> command, size_t room
    ) const;

    /// Counts a query.
    void finish_report() { ++counters_.commands; }
    /// Counts any other command. `proposed` becomes the state; nullopt: the command was refused.
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

/// Up to a burst of commands. Each is answered before the next is read.
class ControlBurst {
  public:
    ControlBurst(ControlQueue& queue, ring::SplitRing& ring);
    ControlBurst(const ControlBurst&) = delete;
    ControlBurst& operator=(const ControlBurst&) = delete;

    /// The state that the next command proposes; `finish` answers the command. Invalid commands and
    /// queries are answered on the way. nullptr: there are no more.
    const ControlState* next();

    /// Answers VIRTIO_NET_OK if the proposed state was `published`, VIRTIO_NET_ERR otherwise.
    void finish(bool published);

    /// Chains that were returned to the driver.
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
