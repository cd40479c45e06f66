// SPDX-License-Identifier: BSD-3-Clause

// Runs functions of other threads on the control thread.
//
// Only control may call Device::info and similar functions. Other threads use `run`: it passes a
// function to control, wakes control, and waits until the function has run. Neither side waits for
// long. Control runs the pending functions and continues. The caller gives up after a limit,
// because control may be busy or gone. The caller waits while its function runs, so the function
// may use the caller's stack.
//
// Threads: `run` on any thread but control; `serve` and `close` on control.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace vduse::app {

class ControlCalls {
  public:
    /// `wake` makes the control thread call `serve` soon; any thread calls it.
    explicit ControlCalls(
        std::function<void()> wake, std::chrono::milliseconds limit = std::chrono::seconds(5)
    );

    /// Returns true if `function` has run; false: it has not, and will not.
    bool run(const std::function<void()>& function);
    void serve();
    /// After this, no function runs and `wake` is not called.
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
