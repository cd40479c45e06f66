// SPDX-License-Identifier: BSD-3-Clause

// Log lines of the library: one DPDK log type, "lib.vduse", never used in the datapath.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace vduse {

enum class Severity : uint8_t { error, warning, notice, info, debug };

/// Writes `VDUSE: ` and the formatted line to DPDK's log, through lines.h. Any thread but data
/// threads.
[[gnu::format(printf, 2, 3)]] void log(Severity severity, const char* format, ...);

/// DPDK's level, RTE_LOG_*.
uint32_t log_level(Severity severity);
/// Writes a line with the caller's DPDK level and log type.
void log_line(uint32_t level, uint32_t type, const std::string& line);

/// Limits lines that an outsider can cause at will to one a second. For one thread.
class LinePace {
  public:
    /// Whether a line may be written now.
    [[nodiscard]] bool due() noexcept {
        const auto now = std::chrono::steady_clock::now();
        if (last_ && now - *last_ < std::chrono::seconds(1))
            return false;
        last_ = now;
        return true;
    }

  private:
    std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace vduse
