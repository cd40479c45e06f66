// SPDX-License-Identifier: BSD-3-Clause

// printf into a string: for lines that people read, never in the datapath.
#pragma once

#include <cstddef>
#include <string>

namespace vduse {

/// What DPDK's telemetry takes of one string, its end included. Longer texts are cut off.
inline constexpr size_t kTextRoom = 128;

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

}  // namespace vduse
