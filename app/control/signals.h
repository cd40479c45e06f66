// SPDX-License-Identifier: BSD-3-Clause

// SIGINT, SIGTERM and SIGHUP: an orderly end. SIGUSR2: another process wants the devices.
//
// They are blocked from before the EAL starts its threads, which inherit that, and let through on
// the main lcore only. So the handler interrupts nobody but the thread that owns Control.
//
// SIGHUP is among them because a process that just dies leaves a kernel behind that waits for
// answers: losing the terminal must not do that.
#pragma once

namespace vduse {
class Control;
}

namespace vduse::app {

/// Before rte_eal_init.
void block_signals();

/// Lets them through; the handler wakes `control`.
void watch_signals(Control& control);

/// Blocks them again, before `control` goes away.
void forget_signals();

/// One of the first three has come, also while they are blocked. Any thread.
bool signalled();

/// The last one has come since this was last asked, and who sent it is still waiting.
bool asked_to_hand_over();

}  // namespace vduse::app
