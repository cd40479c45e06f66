// SPDX-License-Identifier: BSD-3-Clause

// The thread for calls that block. Control must not make these calls: before they return, the
// kernel, or a process that holds its locks, may wait for an answer of the device, which control
// gives (lib/include/vduse/bus.h, probe.h).
//
// The thread works through a list of tasks, each with a result. The main lcore keeps answering the
// kernel meanwhile. It is woken to take the results and print them.
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
    std::string line;     ///< to print
    bool failed = false;  ///< `line` is an error
    bool stays = false;   ///< the device is still on the vDPA bus
};

using Task = std::function<TaskResult()>;

/// Puts a device on the vDPA bus and binds it to `driver`.
TaskResult attach(const std::string& name, const std::string& driver);

/// Removes a device from the vDPA bus, unless somebody has it open.
TaskResult detach(const std::string& name);

class BlockingThread {
  public:
    explicit BlockingThread(Control& control) : control_(control) {}
    BlockingThread(const BlockingThread&) = delete;
    BlockingThread& operator=(const BlockingThread&) = delete;
    /// Waits for the current task.
    ~BlockingThread();

    /// Not while `busy`.
    void start(std::vector<Task> tasks);
    /// Skips the tasks that have not begun.
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
