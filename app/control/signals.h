// SPDX-License-Identifier: BSD-3-Clause

// SIGINT, SIGTERM and SIGHUP: an orderly exit. SIGUSR2: another process requests the devices.
//
// The signals are blocked before the EAL starts its threads, which inherit the mask, and unblocked
// on the main lcore only. So the handler interrupts only the thread that owns Control.
//
// SIGHUP is handled because a process that dies abruptly leaves a kernel that waits for answers.
// The loss of a terminal must not cause that.
#pragma once

namespace vduse {
class Control;
}

namespace vduse::app {

/// Call it before rte_eal_init.
void block_signals();

/// Unblocks the signals; the handler wakes `control`.
void watch_signals(Control& control);

/// Blocks the signals again. Call it before `control` is destroyed.
void forget_signals();

/// Whether SIGINT, SIGTERM or SIGHUP has come, even if still blocked. Any thread.
bool signalled();

/// Whether SIGUSR2 has come since the last call, and its sender is still waiting.
bool asked_to_hand_over();

}  // namespace vduse::app
