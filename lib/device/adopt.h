// SPDX-License-Identifier: BSD-3-Clause

// The kernel's device outlives the process (persist, survive_crash), and the next one goes on with
// it.
//
// What the driver has told us comes from the journal, ring positions from the rings: between two
// bursts no chain is in flight, so the used index in the ring is where we were. The driver notices
// a pause, and one interrupt for each queue and the configuration, in case the last one was lost
// with the process.
//
// Without a journal, and when the device cannot be made anew since it is on the vDPA bus, what the
// kernel can be asked is taken from it, the rest is guessed so that no frame is held back and no
// memory touched that is not in the driver's own spaces.
//
// Here the parts of a session are put together; the session then goes on from what was `inherited`.
//
// Threads: control.
#pragma once

#include "device/parts.h"
#include "vduse/result.h"

namespace vduse::device {

/// The device that is there, if it is to be gone on with, or else a new one. `wake_fd`: an eventfd
/// that data threads write to call control.
Result<Parts> adopt_or_make(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator, int wake_fd
);

/// Whether another process could go on with the device as its journal says: see Control.
Result<void> can_adopt(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator
);

}  // namespace vduse::device
