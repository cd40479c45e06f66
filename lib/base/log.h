// Log lines of the library: one DPDK log type, "lib.vduse", never used in the datapath.
#pragma once

#include <cstdint>

namespace vduse {

enum class Severity : uint8_t { error, warning, notice, info, debug };

/// Writes `VDUSE: ` and the formatted line to DPDK's log. Any thread; may block: control only.
[[gnu::format(printf, 2, 3)]] void log(Severity severity, const char* format, ...);

}  // namespace vduse
