// What a DeviceConfig means: its validation, the features that it offers, its configuration space.
#pragma once

#include "base/result.h"
#include "device/state.h"
#include "net/filter.h"
#include "net/virtio_net.h"
#include "vduse.h"

namespace vduse::device {

/// The ring size of the control queue. QEMU's own shadow ring has 64 entries, and a driver that
/// never sets the queue up leaves the size to us.
inline constexpr uint16_t kControlQueueSize = 64;

// What a DeviceConfig may say; kMaxPairs and kMaxSpaces are in state.h, ring::kMaxSize in layout.h.
inline constexpr uint16_t kMinQueueSize = 2;
inline constexpr uint16_t kMinMtu = 68;
inline constexpr uint16_t kMaxMtu = 9702;
inline constexpr uint32_t kMaxSpeed = 0x7fffffff;  ///< virtio 1.3, 5.1.4

/// Code EINVAL and the key that is wrong, with the values that are right.
Result<void> validate(const DeviceConfig& config);

/// The pairs and the features of a device, with a control queue or without.
Shape shape_of(const DeviceConfig& config, bool with_control);

net::ConfigSpace config_space(const DeviceConfig& config, const Shape& shape);

}  // namespace vduse::device
