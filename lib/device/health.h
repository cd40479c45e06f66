// SPDX-License-Identifier: BSD-3-Clause

// A device that carries no frame though its driver is ready, and what usually causes that. It only
// looks at counters and indexes, once a second; nothing is done about what it finds.
//
//     frames find no buffer     all of them for a second: the interface is down, the guest stopped,
//                               or its memory for buffers used up
//     no receive buffers        the driver offers none: the interface is not up, as a rule
//     nothing sent              nothing since the driver is ready, though it offers buffers: it has
//                               nothing to say, or a netdev of this host has no bounce memory left
//                               to send with
//
// The first is worth a line at once. The others are what an idle device looks like, too: a line
// when it has been so for ten seconds. `problems` has all of them.
//
// Threads: control.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vduse::device {

/// One queue pair that the driver uses, at one moment.
struct PairSample {
    uint64_t placed = 0;   ///< frames to the guest
    uint64_t refused = 0;  ///< times that a frame for it found no buffer
    uint64_t sent = 0;     ///< frames from the guest
    uint32_t offered = 0;  ///< buffers in its receive ring
};

class Health {
  public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds kPeriod{1};
    static constexpr std::chrono::seconds kIdle{10};
    /// Between two lines about the same.
    static constexpr std::chrono::seconds kQuiet{60};

    /// The driver has become ready, or is gone, or its link went: what was is forgotten.
    void restart() { *this = Health(); }
    /// Whether `poll` is due.
    [[nodiscard]] bool due(Clock::time_point now) const { return now >= next_; }
    /// Takes a look, and returns the lines to be logged.
    std::vector<std::string> poll(Clock::time_point now, std::span<const PairSample> pairs);
    /// What is wrong, a line each.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

  private:
    Clock::time_point next_{};
    std::optional<Clock::time_point> begin_;
    std::optional<Clock::time_point> up_since_;  ///< it offers receive buffers
    std::vector<PairSample> before_;
    uint64_t sent_at_begin_ = 0;
    std::vector<std::string> problems_;
    std::optional<Clock::time_point> said_refused_;
    bool said_empty_ = false;
    bool said_silent_ = false;
};

}  // namespace vduse::device
