// SPDX-License-Identifier: BSD-3-Clause

// The thread for what blocks: does what control must not do itself, because the kernel, or who has
// its locks, asks the device, that is control, before it lets go of the caller
// (lib/include/vduse/bus.h, probe.h).
//
// It works through a list of tasks, each with a result; the main lcore, which keeps answering the
// kernel meanwhile, is woken to take the results and print them.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vduse/device.h"

namespace vduse::app {

struct TaskResult {
    std::string device;
    std::string line;     ///< for people
    bool failed = false;  ///< `line` is an error
    bool stays = false;   ///< the device is still on the vDPA bus, and that is all right
};

using Task = std::function<TaskResult()>;

/// Puts a device on the vDPA bus and binds it to `driver`.
TaskResult attach(const std::string& name, const std::string& driver);

/// Takes a device off the vDPA bus, unless somebody holds it.
TaskResult detach(const std::string& name);

class BlockingThread {
  public:
    explicit BlockingThread(Control& control) : control_(control) {}
    BlockingThread(const BlockingThread&) = delete;
    BlockingThread& operator=(const BlockingThread&) = delete;
    /// Waits for the task that it is in.
    ~BlockingThread();

    /// Not while `busy`.
    void start(std::vector<Task> tasks);
    /// Tasks not yet begun are left out.
    void cancel() { cancelled_.store(true); }
    [[nodiscard]] bool busy() const { return busy_.load(); }
    /// The results since the last call.
    std::vector<TaskResult> take_results();

  private:
    void work(const std::vector<Task>& tasks);

    Control& control_;
    std::thread thread_;
    std::atomic<bool> busy_ = false;
    std::atomic<bool> cancelled_ = false;
    std::mutex mutex_;
    std::vector<TaskResult> results_;
};

}  // namespace vduse::app
