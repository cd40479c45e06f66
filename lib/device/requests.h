// SPDX-License-Identifier: BSD-3-Clause

// Requests of the kernel: what one means to the state machine, and the last ones to one device, for
// people who ask what happened.
//
// The latter is a ring of fixed size that control writes; nothing is made of a request before
// somebody asks.
//
// The kernel passes on what the driver's side said, so numbers are the state machine's to check.
// What the kernel itself reserved must be 0, or the request is from a newer one and unknown.
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

/// What the driver's side has negotiated by now is looked up for SET_STATUS.
Message understand(const Parts& parts, const uapi::abi::Request& request);

class EventLog {
  public:
    static constexpr size_t kKept = 64;

    /// `asked`: when the message was read; its answer was written `took` later.
    void record(
        const uapi::abi::Request& request,
        bool ok,
        std::chrono::steady_clock::time_point asked,
        std::chrono::nanoseconds took
    );
    /// The oldest first, with the times that a clock on the wall showed if it was never set since.
    [[nodiscard]] std::vector<ControlEvent> list() const;

  private:
    struct Entry {
        uapi::abi::Request request;
        bool ok;
        std::chrono::steady_clock::time_point asked;
        std::chrono::nanoseconds took;
    };
    std::array<Entry, kKept> entries_{};
    size_t count_ = 0;  ///< of all that ever came
};

}  // namespace vduse::device
