// SPDX-License-Identifier: BSD-3-Clause

// Makes a new device: creates it through /dev/vduse/control, sizes its bounce memory, sets its
// queues up. It is not on the vDPA bus yet, so it has no driver.
//
// If the kernel refuses VIRTIO_NET_F_CTRL_VQ, the device is made without it and with one pair. A
// device that another process left behind is replaced, unless it is in use.
//
// Threads: control.
#pragma once

#include "device/parts.h"
#include "vduse/result.h"

namespace vduse::device {

/// `parts` must have /dev/vduse/control open. The journal of an earlier process is removed. Code
/// EBUSY: the device exists and is in use. After any error nothing is left behind.
Result<void> make_anew(Parts& parts);

}  // namespace vduse::device
