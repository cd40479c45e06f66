// SPDX-License-Identifier: BSD-3-Clause

// What the VDUSE of the running kernel has, asked once for each device, before it is made.
//
//   Linux 6.12   API version 0: one group, one address space
//   Linux 7.2    API version 1: groups and address spaces
//   Linux 7.3    VDUSE_F_QUEUE_READY and VDUSE_F_SUSPEND besides
//
// What an older kernel has not is data for everyone else: the Shape of a device says whether there
// are groups, and a session asks for what it is not told.
#pragma once

#include <cstdint>
#include <string>

#include "uapi/kernel.h"
#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::device {

struct Capabilities {
    uint64_t api_version = uapi::abi::kApiVersion1;
    uint64_t features = 0;  ///< VDUSE_F_*, also those that we do not know

    /// More than one group and one address space.
    [[nodiscard]] constexpr bool groups() const { return api_version >= uapi::abi::kApiVersion1; }
    /// A message tells when the driver's side makes a queue ready.
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

/// Code ENOTSUP: `config` asks for more than a kernel `release` with these can do.
Result<void> check(
    const DeviceConfig& config, const Capabilities& capabilities, const std::string& release
);

/// What the kernel lacks, and what follows, for people; "" when it lacks nothing.
std::string describe_missing(const Capabilities& capabilities);

}  // namespace vduse::device
