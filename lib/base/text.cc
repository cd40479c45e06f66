// SPDX-License-Identifier: BSD-3-Clause

#include "base/text.h"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace vduse {

std::string text(const char* format, ...) {
    std::array<char, kTextRoom> line{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    return line.data();
}

}  // namespace vduse
