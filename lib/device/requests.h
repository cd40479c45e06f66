// SPDX-License-Identifier: BSD-3-Clause

// Requests of the kernel: their translation for the state machine, and a log of the last requests
// to a device, for people.
//
// The log is a ring of fixed size. A request becomes text only when the log is listed.
//
// The kernel passes on the values of the driver's side, so the state machine checks all numbers.
// Fields that the kernel has reserved must be 0. Otherwise the request is from a newer kernel and
// unknown.
//
// Threads: control.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

#include "device/parts.h"
#include "device/state.h"
#include "uapi/abi.h"
#include "vduse/config.h"
#include "vduse/info.h"

namespace vduse::device {

/// Translates a request. For SET_STATUS, this looks up the features of the driver and the bus
/// driver.
Message understand(const Parts& parts, const uapi::abi::Request& request);

class EventLog {
  public:
    static constexpr size_t kKept = 64;

    /// `asked`: when the request was read; its answer was written `took` later.
    void record(
        const uapi::abi::Request& request,
        bool ok,
        std::chrono::steady_clock::time_point asked,
        std::chrono::nanoseconds took
    );
    /// The oldest first. Times are computed back from the current wall-clock time, so a clock that
    /// was set since shifts them.
    [[nodiscard]] std::vector<ControlEvent> list() const;

  private:
    struct Entry {
        uapi::abi::Request request;
        bool ok;
        std::chrono::steady_clock::time_point asked;
        std::chrono::nanoseconds took;
    };
    std::array<Entry, kKept> entries_{};
    size_t count_ = 0;  ///< of all requests so far
};

}  // namespace vduse::device
