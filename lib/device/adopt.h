// SPDX-License-Identifier: BSD-3-Clause

// The kernel's device outlives the process (persist, survive_crash), and the next process adopts
// it.
//
// What the driver has set comes from the journal. Ring positions come from the rings: between two
// bursts no chain is in flight, so the used index in the ring is the position. The driver notices a
// pause, and one interrupt for each queue and for the configuration, in case the last one was lost
// with the process.
//
// If there is no journal and the device cannot be made anew because it is on the vDPA bus, the
// kernel is asked for what it knows. The rest is guessed, so that no frame is held back and no
// memory is touched outside the driver's own spaces.
//
// This puts the parts of a session together. The session then starts from what was `inherited`.
//
// Threads: control.
#pragma once

#include "device/parts.h"
#include "vduse/result.h"

namespace vduse::device {

/// The existing device if it can be adopted, else a new one. `wake_fd`: an eventfd that data
/// threads write to wake control.
Result<Parts> adopt_or_make(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator, int wake_fd
);

/// Whether another process could adopt the device from its journal; see vduse::can_adopt.
Result<void> can_adopt(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator
);

}  // namespace vduse::device
