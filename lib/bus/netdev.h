// SPDX-License-Identifier: BSD-3-Clause

// The netdev of a device on virtio_vdpa: its name and its network namespace.
//
// This uses rtnetlink. No tool has to be installed.
//
// Threads: any but the control thread. The netdev appears some time after the bus driver took the
// device, and meanwhile the kernel sends requests to the device (see vduse/bus.h).
#pragma once

#include <chrono>
#include <string>

#include "base/fd.h"
#include "vduse/result.h"

namespace vduse::bus {

/// Opens a network namespace: a name as `ip netns` lists them, or a path. Code EINVAL: the file is
/// not a network namespace.
Result<UniqueFd> open_netns(const std::string& netns);

struct NetdevSearch {
    std::chrono::milliseconds timeout{5000};  ///< how long to wait for the netdev
    std::string devices = "/sys/bus/vdpa/devices";
};

/// Renames the netdev of vDPA device `device` to `name`, and moves it into `netns`. If either is
/// "", that property stays as it is. A netdev that has that name and namespace already, from an
/// earlier life of the device, is left as it is.
Result<void> place_netdev(
    const std::string& device,
    const std::string& name,
    const std::string& netns,
    const NetdevSearch& search
);

}  // namespace vduse::bus
