// SPDX-License-Identifier: BSD-3-Clause

// --take-over: the devices of a running vduse-dp come to this one, for whose drivers that is a
// pause as after a crash, but a shorter one, since the EAL of this process is up already.
//
//     this process                              the process that has the devices
//     EAL starts                                serves
//     could it go on with each device?          serves
//     SIGUSR2  ------------------------------>  lets go of the devices, then of its ports; ends
//     waits for the journals
//     devices; answers the kernel
//     waits for that end; ports; serves
//
// Nothing is asked of a process that holds another device too, which would be nobody's then.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "app/options/options.h"
#include "base/fd.h"
#include "vduse/info.h"

namespace vduse::app {

/// How long a process that asks for the devices waits for each step of the other one.
inline constexpr std::chrono::seconds kHandOverTimeout{10};

/// A process that gave its devices away and may still have ports. `process` is a pidfd: it means
/// that process, whoever gets its number later.
struct Predecessor {
    int pid = 0;
    UniqueFd process;
};

/// As vduse::owner_of.
using OwnerOf = std::function<std::optional<DeviceOwner>(const DeviceConfig&)>;

/// Returns when the devices are free. An error leaves them where they are. Code ECANCELED: a signal
/// came that wants this process to end.
Result<std::vector<Predecessor>> take_over(
    const Options& options, const OwnerOf& owner_of = vduse::owner_of
);

/// What one process has, a second one cannot probe: returns when the ports are free.
Result<void> await_end(const std::vector<Predecessor>& predecessors);

}  // namespace vduse::app
