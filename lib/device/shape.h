// SPDX-License-Identifier: BSD-3-Clause

// The shape that follows from a DeviceConfig: queues, features, configuration space.
#pragma once

#include "device/state.h"
#include "net/filter.h"
#include "vduse/config.h"
#include "vduse/result.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {

/// The ring size of the control queue. QEMU's own shadow ring has 64 entries, and a driver that
/// never sets the queue up leaves the size to us.
inline constexpr uint16_t kControlQueueSize = 64;

/// The shape of a device, with or without a control queue.
Shape shape_of(const DeviceConfig& config, bool with_control);

virtio::ConfigSpace config_space(const DeviceConfig& config, const Shape& shape);

}  // namespace vduse::device
