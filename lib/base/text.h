// SPDX-License-Identifier: BSD-3-Clause

// printf into a string, for lines that people read. Never used in the datapath.
#pragma once

#include <cstddef>
#include <string>

namespace vduse {

/// The limit of DPDK's telemetry for one string, with the terminating NUL. Longer texts are cut.
inline constexpr size_t kTextRoom = 128;

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

}  // namespace vduse
