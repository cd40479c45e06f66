// SPDX-License-Identifier: BSD-3-Clause

#include "log.h"

#include <rte_log.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace vduse::pmd {
namespace {

// By Topic.
const std::array<int, 2> types = {
    rte_log_register_type_and_pick_level("pmd.net.vduse.init", RTE_LOG_NOTICE),
    rte_log_register_type_and_pick_level("pmd.net.vduse.driver", RTE_LOG_NOTICE)};

}  // namespace

void log(Topic topic, Severity severity, const char* format, ...) {
    std::array<char, 1024> line{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    const auto type = static_cast<uint32_t>(types[static_cast<size_t>(topic)]);
    log_line(log_level(severity), type, std::string("net_vduse: ") + line.data());
}

}  // namespace vduse::pmd
