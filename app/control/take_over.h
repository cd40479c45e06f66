// SPDX-License-Identifier: BSD-3-Clause

// --take-over: moves the devices of a running vduse-dp to this process. For the guest drivers this
// is a pause as after a crash, but shorter, because the EAL of this process is already up.
//
//     this process                              the process that has the devices
//     starts the EAL                            serves
//     checks that it can adopt each device      serves
//     SIGUSR2  ------------------------------>  releases the devices, then its ports; exits
//     waits for the journals
//     adopts the devices; answers the kernel
//     waits for the exit; starts ports; serves
//
// If the other process has a device that is not among ours, nothing is requested of it: that device
// would be left without an owner.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "app/options/options.h"
#include "base/fd.h"
#include "vduse/info.h"

namespace vduse::app {

/// How long the requesting process waits for each step of the other one.
inline constexpr std::chrono::seconds kHandOverTimeout{10};

/// A process that gave its devices away and may still have ports. `process` is a pidfd, which
/// another process cannot reuse.
struct Predecessor {
    int pid = 0;
    UniqueFd process;
};

/// The signature of vduse::owner_of.
using OwnerOf = std::function<std::optional<DeviceOwner>(const DeviceConfig&)>;

/// Returns when the devices are free. An error before the first SIGUSR2 leaves all devices with
/// their owners. Code ECANCELED: a signal told this process to exit.
Result<std::vector<Predecessor>> take_over(
    const Options& options, const OwnerOf& owner_of = vduse::owner_of
);

/// Returns when the ports are free. A port of one process cannot be probed by another.
Result<void> await_end(const std::vector<Predecessor>& predecessors);

}  // namespace vduse::app
