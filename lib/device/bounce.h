// SPDX-License-Identifier: BSD-3-Clause

// Sizes the kernel's bounce memory for a device.
//
// With virtio_vdpa a device does not get the buffers of virtio_net. Each of them is mapped to pages
// of a bounce memory, which the kernel divides among the address spaces of the device. It has 64
// MiB by default, and /sys/class/vduse/NAME/bounce_size changes that until the device is first put
// on the vDPA bus. virtio_net fills the receive rings of all pairs at once. If they take all pages,
// none are left to send with, not even for a command, and the netdev is dead: "Unexpected TXQ (0)
// queue failure: -12".
//
// Pages are allocated when they are first mapped, so a larger size costs nothing by itself. A
// device for QEMU needs no bounce memory: its rings and buffers are the guest's own memory.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <string>

#include "device/state.h"
#include "uapi/kernel.h"
#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::device {

inline constexpr uint16_t kDefaultQueueSize = 1024;

/// The bytes that the rings of `pairs` may have mapped in one address space: all receive buffers,
/// and `entry` bytes for each entry of a transmit ring.
uint64_t bounce_need(uint16_t pairs, uint16_t queue_size, uint32_t entry);
/// The most bytes that an entry of a transmit ring has mapped.
uint32_t bounce_entry(const DeviceConfig& config);

struct BouncePlan {
    uint16_t queue_size = kDefaultQueueSize;  ///< of data queues
    std::string note;  ///< what will not work, or was done about it, for people; "": no problem
};

/// Sizes the bounce memory of a new device, and chooses the size of its rings if `config` leaves
/// that open. Code EINVAL: `config` sets a bounce size, and the kernel does not accept it.
Result<BouncePlan> plan_bounce(
    uapi::Kernel& kernel, const DeviceConfig& config, const Shape& shape
);

}  // namespace vduse::device
