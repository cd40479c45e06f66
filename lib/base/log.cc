#include "base/log.h"

#include <rte_log.h>

#include <array>
#include <cstdarg>
#include <cstdio>

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
    rte_log(log_level(severity), static_cast<uint32_t>(log_type), "VDUSE: %s\n", line.data());
}

}  // namespace vduse
