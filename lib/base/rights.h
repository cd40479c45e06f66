// SPDX-License-Identifier: BSD-3-Clause

// Additional text for an error when a right is missing: errno names neither the right nor who
// grants it.
#pragma once

#include <cerrno>
#include <string>

#include "vduse/result.h"

namespace vduse {

inline constexpr const char* kNeedsNetAdmin =
    "the kernel wants CAP_NET_ADMIN for this, whoever may open the file; a systemd service gets it "
    "by AmbientCapabilities=CAP_NET_ADMIN";
inline constexpr const char* kNeedsSysAdmin =
    "the kernel wants CAP_SYS_ADMIN for this; a systemd service gets it by "
    "AmbientCapabilities=CAP_SYS_ADMIN";
inline constexpr const char* kNeedsFile =
    "only its owner may; a udev rule, chown or chmod gives it to others";

/// `error`, with `needs` appended to its text if a right was missing.
inline Error with_rights(Error error, const char* needs) {
    if (error.code == EPERM || error.code == EACCES)
        error.what += std::string(" (") + needs + ")";
    return error;
}

}  // namespace vduse
