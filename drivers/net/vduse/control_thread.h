// SPDX-License-Identifier: BSD-3-Clause

// The control thread of all ports of a process.
//
// The library wants one thread that answers the kernel and owns all devices. An application with
// ethdev ports has none to give, so the first port starts one and the last one ends it. It is on
// the CPUs that EAL keeps for such threads. Whatever an ethdev operation wants of a device it does
// in a closure that this thread runs between two turns of the library's loop, while the caller
// waits: 100 us and more, so never in the datapath.
//
// A closure must not call what waits for the kernel to ask the device (lib/include/vduse/bus.h):
// that is for the threads that call the driver. Nor what is the application's: its callbacks come
// from EAL's own thread (port.cc), as one of them may wait for a lock whose holder waits for us.
#pragma once

#include <functional>

#include "vduse/device.h"
#include "vduse/result.h"

namespace vduse::pmd {

/// What the control thread does for a port in each of its turns, ten times a second at least.
class PeriodicTask {
  public:
    virtual void run() = 0;

  protected:
    ~PeriodicTask() = default;
};

/// A share in the control thread: it runs while there is one. Any thread.
class ControlThread {
  public:
    ControlThread() = default;
    ControlThread(ControlThread&& other) noexcept : held_(std::exchange(other.held_, false)) {}
    ControlThread& operator=(ControlThread&&) = delete;
    ~ControlThread();

    /// `kernel`: of the first one; nullptr for the running one.
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
