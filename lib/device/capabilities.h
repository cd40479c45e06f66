// SPDX-License-Identifier: BSD-3-Clause

// The VDUSE capabilities of the running kernel, queried once for each device, before it is made.
//
//   Linux 6.12   API version 0: one group, one address space
//   Linux 7.2    API version 1: groups and address spaces
//   Linux 7.3    also VDUSE_F_QUEUE_READY and VDUSE_F_SUSPEND
//
// For the other parts, what an older kernel lacks is data: the Shape of a device says whether there
// are groups, and a session polls for what it gets no message about.
#pragma once

#include <cstdint>
#include <string>

#include "uapi/kernel.h"
#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::device {

struct Capabilities {
    uint64_t api_version = uapi::abi::kApiVersion1;
    uint64_t features = 0;  ///< VDUSE_F_*, including unknown ones

    /// More than one group and one address space.
    [[nodiscard]] constexpr bool groups() const { return api_version >= uapi::abi::kApiVersion1; }
    /// The kernel sends a message when the driver's side makes a queue ready.
    [[nodiscard]] constexpr bool queue_ready() const {
        return (features & uapi::abi::kFeatureQueueReady) != 0;
    }
    /// The driver's side can stop the device and ask for its positions.
    [[nodiscard]] constexpr bool suspend() const {
        return (features & uapi::abi::kFeatureSuspend) != 0;
    }
};

/// Agrees with the kernel on the newest API version that both have, and on its features.
Result<Capabilities> agree(uapi::ControlNode& control);

/// Code ENOTSUP: `config` needs more than kernel `release` with these capabilities supports.
Result<void> check(
    const DeviceConfig& config, const Capabilities& capabilities, const std::string& release
);

/// What the kernel lacks and the consequences, for people; "" if it lacks nothing.
std::string describe_missing(const Capabilities& capabilities);

}  // namespace vduse::device
