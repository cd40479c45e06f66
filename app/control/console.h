// SPDX-License-Identifier: BSD-3-Clause

// The application's output: reports on stdout, errors and notes on stderr. Once Service has
// started, a thread writes them (base/lines.h), so that the caller never waits for a reader.
//
// stdout is line-buffered (main sets it), so that a script that waits for a line gets it at once.
// Threads: any.
#pragma once

#include <cstdio>
#include <string>
#include <utility>

#include "base/lines.h"

namespace vduse::app {

/// Whole lines, to stdout.
inline void print(std::string text) {
    const auto write = [](uint64_t /*tag*/, const std::string& lines) {
        std::fputs(lines.c_str(), stdout);
    };
    lines::post(write, 0, std::move(text));
}

inline void print_error(const std::string& line) {
    const auto write = [](uint64_t /*tag*/, const std::string& text) {
        std::fputs(text.c_str(), stderr);
    };
    lines::post(write, 0, "vduse-dp: " + line + "\n");
}

inline void print_note(const std::string& line) {
    print_error("note: " + line);
}

}  // namespace vduse::app
