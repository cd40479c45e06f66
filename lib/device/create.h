// SPDX-License-Identifier: BSD-3-Clause

// A device that is made anew: asked for at /dev/vduse/control, its bounce memory sized, its queues
// set up. It is not on the vDPA bus yet, so nobody drives it.
//
// When the kernel refuses VIRTIO_NET_F_CTRL_VQ, the device is made without it and with one pair.
// One that a process left behind is replaced, unless something holds it.
//
// Threads: control.
#pragma once

#include "device/parts.h"
#include "vduse/result.h"

namespace vduse::device {

/// `parts` has /dev/vduse/control open. What an earlier process kept is taken away. Code EBUSY:
/// there is such a device, and it is in use. After any error nothing is left behind.
Result<void> make_anew(Parts& parts);

}  // namespace vduse::device
