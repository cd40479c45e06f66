// SPDX-License-Identifier: BSD-3-Clause

// Additional text for an error when a right is missing: errno names neither the right nor who
// grants it.
#pragma once

#include <cerrno>
#include <string>

#include "vduse/result.h"

namespace vduse {

inline constexpr const char* kNeedsNetAdmin =
    "this requires CAP_NET_ADMIN in addition to access to the file; a systemd service gets it with "
    "AmbientCapabilities=CAP_NET_ADMIN";
inline constexpr const char* kNeedsSysAdmin =
    "this requires CAP_SYS_ADMIN; a systemd service gets it with "
    "AmbientCapabilities=CAP_SYS_ADMIN";
inline constexpr const char* kNeedsFile =
    "no access to the file; grant it with a udev rule, chown or chmod";

/// `error`, with `needs` appended to its text if a right was missing.
inline Error with_rights(Error error, const char* needs) {
    if (error.code == EPERM || error.code == EACCES)
        error.what += std::string(" (") + needs + ")";
    return error;
}

}  // namespace vduse
