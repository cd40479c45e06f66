// How it works: see signals.h. SIGPIPE is ignored: a reader of our stdout that goes away must not
// take the devices with it.
#include "signals.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <csignal>

#include "vduse.h"

namespace vduse::app {
namespace {

constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};

std::atomic<bool> seen = false;
std::atomic<bool> wanted = false;
std::atomic<Control*> to_wake = nullptr;

void handle(int signal) {
    (signal == SIGUSR2 ? wanted : seen).store(true);
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

/// nohup(1) and its like have set SIGHUP to be ignored, and mean it.
bool ignored(int signal) {
    struct sigaction current {};
    return ::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_IGN;
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
        if (signal != SIGHUP || !ignored(signal))
            ::sigaction(signal, &action, nullptr);
    mask_signals(SIG_UNBLOCK);
}

void forget_signals() {
    mask_signals(SIG_BLOCK);
    to_wake.store(nullptr);
}

bool signalled() {
    return seen.load();
}

bool asked_to_hand_over() {
    return wanted.exchange(false);
}

}  // namespace vduse::app
