// SPDX-License-Identifier: BSD-3-Clause

// The control thread of all ports of a process.
//
// The library needs one thread that answers the kernel and owns all devices. An application with
// ethdev ports does not provide one, so the first port starts it and the last port ends it. It runs
// on the CPUs that EAL reserves for control threads. An ethdev operation accesses a device in a
// closure that this thread runs between two iterations of the library's loop, while the caller
// waits. That takes 100 us or more, so it is never done in the datapath.
//
// A closure must not call functions that wait for the kernel to ask the device
// (lib/include/vduse/bus.h): only the threads that call the PMD may do that. It must not call the
// application's callbacks either: they are called from EAL's own thread (port.cc), because one of
// them may wait for a lock whose holder waits for this thread.
#pragma once

#include <functional>

#include "vduse/device.h"
#include "vduse/result.h"

namespace vduse::pmd {

/// A task that the control thread runs in each iteration, at least ten times a second.
class PeriodicTask {
  public:
    virtual void run() = 0;

  protected:
    ~PeriodicTask() = default;
};

/// A reference to the control thread, which runs while there is one. Any thread.
class ControlThread {
  public:
    ControlThread() = default;
    ControlThread(ControlThread&& other) noexcept : held_(std::exchange(other.held_, false)) {}
    ControlThread& operator=(ControlThread&&) = delete;
    ~ControlThread();

    /// `kernel`: used by the first share, which starts the thread; nullptr for the running kernel.
    static Result<ControlThread> share(uapi::Kernel* kernel = nullptr);

    /// Runs `work` on the control thread and returns when it is done.
    void run(const std::function<void(Control&)>& work) const;

    /// In `work` only.
    static void add(PeriodicTask& task);
    static void remove(PeriodicTask& task);

  private:
    bool held_ = false;
};

}  // namespace vduse::pmd
