// SPDX-License-Identifier: BSD-3-Clause

#include "base/log.h"

#include <rte_log.h>

#include <array>
#include <cstdarg>
#include <cstdio>

#include "base/lines.h"

namespace vduse {
namespace {

const int log_type = rte_log_register_type_and_pick_level("lib.vduse", RTE_LOG_INFO);

constexpr std::array<uint32_t, 5> kLevels = {
    RTE_LOG_ERR, RTE_LOG_WARNING, RTE_LOG_NOTICE, RTE_LOG_INFO, RTE_LOG_DEBUG};

}  // namespace

uint32_t log_level(Severity severity) {
    return kLevels[static_cast<size_t>(severity)];
}

void log(Severity severity, const char* format, ...) {
    std::array<char, 1024> line{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    log_line(
        log_level(severity), static_cast<uint32_t>(log_type), std::string("VDUSE: ") + line.data()
    );
}

void log_line(uint32_t level, uint32_t type, const std::string& line) {
    if (!rte_log_can_log(type, level))
        return;
    const auto write = [](uint64_t tag, const std::string& text) {
        rte_log(static_cast<uint32_t>(tag >> 32), static_cast<uint32_t>(tag), "%s", text.c_str());
    };
    lines::post(write, uint64_t{level} << 32 | type, line + "\n");
}

}  // namespace vduse
