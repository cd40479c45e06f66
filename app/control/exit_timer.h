// SPDX-License-Identifier: BSD-3-Clause

// A limit on how long the end of the process may take.
//
// At exit the kernel is asked to let go of devices. If it hangs, then so would we, and whoever
// stops services would kill us without a word. So an alarm ends the process with status 1 and says
// at which step it was. It works from a signal handler, hence in whatever thread can still run.
// What it cannot change: a blocking thread in an uninterruptible sleep in the kernel keeps the
// process in the table of processes until the kernel lets it go; kill -9 cannot either.
#pragma once

namespace vduse::app {

/// From now on the process has 10 s to end.
void start_exit_watchdog();

/// What the process is about to do. `step` lives for ever.
void exit_step(const char* step);

}  // namespace vduse::app
