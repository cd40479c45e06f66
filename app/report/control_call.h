// SPDX-License-Identifier: BSD-3-Clause

// Calls of other threads that the control thread runs.
//
// What only control may look at (Device::info and its like) others get by a call: `run` hands a
// function over, wakes control, and waits until control has run it. Neither ever waits for long:
// control runs what is there and goes on; the caller gives up after a limit, for control may be
// busy, or gone. A function that is being run keeps its caller waiting, so it may use the caller's
// stack.
//
// Threads: `run` any but control; `serve` and `close` control.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace vduse::app {

class ControlCalls {
  public:
    /// `wake` makes the control thread come to `serve` soon; any thread calls it.
    explicit ControlCalls(
        std::function<void()> wake, std::chrono::milliseconds limit = std::chrono::seconds(5)
    );

    /// true: `function` has been run. false: it was not and will not be.
    bool run(const std::function<void()>& function);
    void serve();
    /// Nothing is run any more, and `wake` is not called any more.
    void close();

  private:
    struct Waiting {
        const std::function<void()>* function;
        bool done = false;
    };
    std::function<void()> wake_;
    std::chrono::milliseconds limit_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Waiting*> waiting_;
    bool closed_ = false;
};

}  // namespace vduse::app
