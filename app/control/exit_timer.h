// SPDX-License-Identifier: BSD-3-Clause

// A time limit for the exit of the process.
//
// At exit the process asks the kernel to remove devices. If the kernel hangs, the process would
// hang, too, until a service manager kills it without a message. So an alarm ends the process with
// status 1 and prints the step it was at. It works from a signal handler, so any thread that still
// runs can handle it. A limit of this: if the blocking thread is in an uninterruptible sleep in the
// kernel, the process stays in the process table until the kernel wakes it. kill -9 does not help
// either.
#pragma once

namespace vduse::app {

/// From now on the process has 10 s to exit.
void start_exit_watchdog();

/// Names the next step. `step` must stay valid until the process exits.
void exit_step(const char* step);

}  // namespace vduse::app
