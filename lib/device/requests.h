// The last messages of the kernel to one device, for people who ask what happened.
//
// A ring of fixed size that control writes; nothing is made of a message before somebody asks.
//
// Control thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

#include "uapi/abi.h"
#include "vduse/config.h"
#include "vduse/info.h"

namespace vduse::device {

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
