// SPDX-License-Identifier: BSD-3-Clause

// Detects a device that carries no frames though its driver is ready, and names the usual causes.
// It only reads counters and indexes, once a second, and does nothing about its findings.
//
//     frames find no buffer     all of them for a second: the interface is down, the guest is
//                               stopped, or its memory for buffers is used up
//     no receive buffers        the driver offers none: usually the interface is not up
//     nothing sent              nothing since the driver is ready, though it offers buffers: it has
//                               nothing to send, or a netdev of this host has no bounce memory left
//                               to send with
//
// The first is logged at once. The others are also normal for an idle device, so they are logged
// after ten seconds. `problems` has all of them.
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
    uint64_t refused = 0;  ///< bursts to the guest that ran out of buffers
    uint64_t sent = 0;     ///< frames from the guest
    uint32_t offered = 0;  ///< buffers in its receive ring
};

class Health {
  public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds kPeriod{1};
    static constexpr std::chrono::seconds kIdle{10};
    /// The time between two log lines about the same problem.
    static constexpr std::chrono::seconds kQuiet{60};

    /// Forgets everything: the driver has become ready, is gone or suspended, or its link is down.
    void restart() { *this = Health(); }
    /// Whether `poll` is due.
    [[nodiscard]] bool due(Clock::time_point now) const { return now >= next_; }
    /// Evaluates samples, and returns the lines to log.
    std::vector<std::string> poll(Clock::time_point now, std::span<const PairSample> pairs);
    /// The problems found by the last `poll`, one line each.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

  private:
    Clock::time_point next_{};
    std::optional<Clock::time_point> begin_;
    std::optional<Clock::time_point> up_since_;  ///< since when it offers receive buffers
    std::vector<PairSample> before_;
    uint64_t sent_at_begin_ = 0;
    std::vector<std::string> problems_;
    std::optional<Clock::time_point> said_refused_;
    bool said_empty_ = false;
    bool said_silent_ = false;
};

}  // namespace vduse::device
