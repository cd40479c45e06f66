// SPDX-License-Identifier: BSD-3-Clause

// The netdev of a device on virtio_vdpa: its name and its network namespace.
//
// No tool has to be installed: rtnetlink does it.
//
// Threads: not the control thread. The netdev comes some time after the bus driver took the device,
// and the kernel asks the device meanwhile, as vduse/bus.h tells.
#pragma once

#include <chrono>
#include <string>

#include "base/fd.h"
#include "vduse/result.h"

namespace vduse::bus {

/// A network namespace: a name as `ip netns` lists them, or a path. The error says that it is none.
Result<UniqueFd> open_netns(const std::string& netns);

struct NetdevSearch {
    std::chrono::milliseconds timeout{5000};  ///< how long to wait for the netdev
    std::string devices = "/sys/bus/vdpa/devices";
};

/// Gives the netdev of vDPA device `device` the name `name`, and moves it into `netns`. What is ""
/// stays. One that is there already, from an earlier life of the device, is left as it is.
Result<void> place_netdev(
    const std::string& device,
    const std::string& name,
    const std::string& netns,
    const NetdevSearch& search
);

}  // namespace vduse::bus
