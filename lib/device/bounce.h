// SPDX-License-Identifier: BSD-3-Clause

// How much of the kernel's bounce memory a device needs, and getting it.
//
// virtio_vdpa does not give a device the buffers of virtio_net. It maps each of them to pages of a
// bounce memory, which the kernel divides among the address spaces of the device: 64 MiB by
// default, /sys/class/vduse/NAME/bounce_size until the device is first on the vDPA bus. virtio_net
// fills the receive rings of all pairs at once. Where they take all pages, nothing is left to send
// with, not even a command, and the netdev is dead: "Unexpected TXQ (0) queue failure: -12".
//
// Pages are allocated when they are first mapped, so to ask for more costs nothing by itself. A
// device for QEMU needs none: its rings and buffers are the guest's own memory.
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

/// What the rings of `pairs` may have mapped in one address space, in bytes: all receive buffers,
/// and for each entry of a transmit ring `entry` bytes.
uint64_t bounce_need(uint16_t pairs, uint16_t queue_size, uint32_t entry);
/// What an entry of a transmit ring has mapped, at most.
uint32_t bounce_entry(const DeviceConfig& config);

struct BouncePlan {
    uint16_t queue_size = kDefaultQueueSize;  ///< of data queues
    std::string note;  ///< what will not work, or was done about it, for people; "": all is well
};

/// Sizes the bounce memory of a device that is new, and decides the size of its rings where
/// `config` leaves that open. Code EINVAL: `config` asks for a size by hand, and the kernel does
/// not take it.
Result<BouncePlan> plan_bounce(
    uapi::Kernel& kernel, const DeviceConfig& config, const Shape& shape
);

}  // namespace vduse::device
