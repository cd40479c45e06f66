// The application's own lines: reports on stdout, complaints and notes on stderr.
//
// stdout is line buffered (main sets it), so that a script that waits for a line gets it at once.
// Threads: any. Reports come from the main lcore, to which others hand their lines.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

namespace vduse::app {

inline void print_error(const std::string& line) {
    std::fprintf(stderr, "vduse-dp: %s\n", line.c_str());
}

inline void print_note(const std::string& line) {
    std::fprintf(stderr, "vduse-dp: note: %s\n", line.c_str());
}

/// Prints lines of `text` for as long as stdout takes them without making us wait, and returns how
/// much that was: the kernel gives up a device whose control thread is stuck in a pipe that nobody
/// reads.
inline size_t print_unless_blocked(std::string_view text) {
    size_t printed = 0;
    while (printed < text.size()) {
        pollfd out{STDOUT_FILENO, POLLOUT, 0};
        if (::poll(&out, 1, 0) == 0)
            break;
        const size_t end = std::min(text.find('\n', printed), text.size() - 1) + 1;
        std::fwrite(text.data() + printed, 1, end - printed, stdout);
        printed = end;
    }
    return printed;
}

}  // namespace vduse::app
