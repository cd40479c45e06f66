// Questions of other threads that the control thread answers.
//
// What only control may look at (Device::info and its like) others see by asking: `ask` hands a
// function over, wakes control, and waits until control has run it. Neither ever waits for long:
// control runs what is there and goes on; who asks gives up after a limit, for control may be busy,
// or gone. A function that is being run keeps the asker waiting, so it may use the asker's stack.
//
// Threads: `ask` any but control; `serve` and `close` control.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace vduse::app {

class Inquiries {
  public:
    /// `wake` makes the control thread come to `serve` soon; any thread calls it.
    explicit Inquiries(
        std::function<void()> wake, std::chrono::milliseconds limit = std::chrono::seconds(5)
    );

    /// true: `question` has been run. false: it was not and will not be.
    bool ask(const std::function<void()>& question);
    void serve();
    /// Nobody is answered any more, and `wake` is not called any more.
    void close();

  private:
    struct Waiting {
        const std::function<void()>* question;
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
