// SPDX-License-Identifier: BSD-3-Clause

// How it works: see signals.h. SIGPIPE is ignored, so that the devices survive if the reader of
// stdout exits.
#include "app/control/signals.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <limits>

#include "app/control/take_over.h"
#include "vduse/device.h"

namespace vduse::app {
namespace {

constexpr std::array<int, 3> kEnds = {SIGINT, SIGTERM, SIGHUP};
constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};
constexpr int64_t kNever = std::numeric_limits<int32_t>::min();

std::atomic<bool> seen = false;
std::atomic<int64_t> wanted = kNever;  ///< time of the last SIGUSR2
std::atomic<Control*> to_wake = nullptr;

/// Seconds of a clock that can be read in a signal handler.
int64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

void handle(int signal) {
    if (signal == SIGUSR2)
        wanted.store(now());
    else
        seen.store(true);
    if (Control* const control = to_wake.load(); control != nullptr)
        control->wake();
}

void mask_signals(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : kSignals)
        sigaddset(&set, signal);
    pthread_sigmask(how, &set, nullptr);
}

/// nohup(1) and similar programs set SIGHUP to be ignored. This is respected.
bool means_us(int signal) {
    struct sigaction current {};
    return signal != SIGHUP || ::sigaction(signal, nullptr, &current) != 0 ||
           current.sa_handler != SIG_IGN;
}

}  // namespace

void block_signals() {
    mask_signals(SIG_BLOCK);
    std::signal(SIGPIPE, SIG_IGN);
}

void watch_signals(Control& control) {
    to_wake.store(&control);
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    for (const int signal : kSignals)
        if (means_us(signal))
            ::sigaction(signal, &action, nullptr);
    mask_signals(SIG_UNBLOCK);
}

void forget_signals() {
    mask_signals(SIG_BLOCK);
    to_wake.store(nullptr);
}

bool signalled() {
    sigset_t pending;
    return seen.load() ||
           (::sigpending(&pending) == 0 && std::ranges::any_of(kEnds, [&](int signal) {
                return sigismember(&pending, signal) == 1 && means_us(signal);
            }));
}

bool asked_to_hand_over() {
    return now() - wanted.exchange(kNever) < kHandOverTimeout.count();
}

}  // namespace vduse::app
