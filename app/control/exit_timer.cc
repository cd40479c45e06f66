// SPDX-License-Identifier: BSD-3-Clause

// How it works: see exit_timer.h. The handler uses only async-signal-safe functions.
#include "app/control/exit_timer.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

namespace vduse::app {
namespace {

constexpr unsigned kSeconds = 10;

std::atomic<const char*> current_step = "start of exit";

void print(const char* text) {
    if (::write(STDERR_FILENO, text, std::strlen(text)) < 0)
        return;  // nobody to tell
}

void give_up(int /*signal*/) {
    print("vduse-dp: the exit takes longer than 10 s, aborted at step: ");
    print(current_step.load());
    print("\n");
    ::_exit(1);
}

}  // namespace

void start_exit_watchdog() {
    struct sigaction action {};
    action.sa_handler = give_up;
    ::sigaction(SIGALRM, &action, nullptr);
    ::alarm(kSeconds);
}

void exit_step(const char* step) {
    current_step.store(step);
}

}  // namespace vduse::app
