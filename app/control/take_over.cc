// SPDX-License-Identifier: BSD-3-Clause

#include "app/control/take_over.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <string_view>
#include <thread>
#include <utility>

#include "app/control/console.h"
#include "app/control/signals.h"
#include "vduse/device.h"
#include "vduse/info.h"

namespace vduse::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPollInterval{1};
constexpr std::chrono::duration<int, std::milli> kSignalInterval{50};

/// A process that has devices, as a pidfd, which another process cannot reuse.
struct Other {
    UniqueFd process;
    std::vector<const DeviceConfig*> devices;
};

[[nodiscard]] std::string named(int pid) {
    return "pid " + std::to_string(pid);
}

/// Another device that `pid` has, or "".
std::string another_device(
    int pid, const std::string& folder, const Options& options, const OwnerOf& owner_of
) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        DeviceConfig config;
        config.name = entry.path().stem();
        config.journal_folder = folder;
        const auto owner = owner_of(config);
        const bool ours = std::ranges::any_of(options.devices, [&](const DeviceOptions& device) {
            return device.config.name == config.name;
        });
        if (owner && owner->pid == pid && !ours)
            return config.name;
    }
    return {};
}

/// Opens a pidfd of `owner`. Then the lock that names the owner is read again: the process may have
/// ended before the pidfd was open, and another one may have reused its pid.
Result<UniqueFd> open_process(
    const DeviceOwner& owner, const DeviceConfig& config, const OwnerOf& owner_of
) {
    UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, owner.pid, 0)));
    if (!process)
        return Error{errno, named(owner.pid)};
    const auto now = owner_of(config);
    if (!now || now->pid != owner.pid || !now->supports_handover)
        return Error{EAGAIN, config.name + ": " + named(owner.pid) + " has just ended"};
    return process;
}

Result<std::map<int, Other>> find_others(const Options& options, const OwnerOf& owner_of) {
    std::map<int, Other> others;
    for (const DeviceOptions& device : options.devices) {
        const DeviceConfig& config = device.config;
        const auto owner = owner_of(config);
        if (!owner) {
            print_note(config.name + ": no process has it: nothing to take over");
            continue;
        }
        if (!owner->supports_handover)
            return Error{
                ENOTSUP,
                config.name + ": " + named(owner->pid) + " has it and does not support hand-over"};
        auto process = open_process(*owner, config, owner_of);
        if (!process)
            return process.error();
        if (auto able = can_adopt(config); !able)
            return able.error();
        if (const auto more = another_device(owner->pid, config.journal_folder, options, owner_of);
            !more.empty())
            return Error{
                EINVAL,
                named(owner->pid) + " has " + more + " too, which is not among the devices here"};
        Other& other = others[owner->pid];
        other.devices.push_back(&config);
        other.process = std::move(*process);
    }
    return others;
}

bool has_any(int pid, const Other& other, const OwnerOf& owner_of) {
    return std::ranges::any_of(other.devices, [&](const DeviceConfig* config) {
        const auto owner = owner_of(*config);
        return owner && owner->pid == pid;
    });
}

}  // namespace

Result<std::vector<Predecessor>> take_over(const Options& options, const OwnerOf& owner_of) {
    auto others = find_others(options, owner_of);
    if (!others)
        return others.error();
    for (const auto& [pid, other] : *others)
        if (::syscall(SYS_pidfd_send_signal, other.process.get(), SIGUSR2, nullptr, 0) != 0)
            return Error{errno, "asking " + named(pid)};
    const auto end = Clock::now() + kHandOverTimeout;
    std::vector<Predecessor> predecessors;
    for (auto& [pid, other] : *others) {
        while (has_any(pid, other, owner_of)) {
            if (signalled())
                return Error{ECANCELED, "interrupted"};
            if (Clock::now() > end)
                return Error{ETIMEDOUT, named(pid) + " does not release the devices"};
            std::this_thread::sleep_for(kPollInterval);
        }
        print_note("took over from " + named(pid));
        predecessors.push_back({pid, std::move(other.process)});
    }
    return predecessors;
}

Result<void> await_end(const std::vector<Predecessor>& predecessors) {
    const auto limit = Clock::now() + kHandOverTimeout;
    for (const auto& [pid, process] : predecessors) {
        pollfd end{process.get(), POLLIN, 0};
        while (::poll(&end, 1, kSignalInterval.count()) != 1) {
            if (signalled())
                return Error{ECANCELED, "interrupted"};
            if (Clock::now() > limit)
                return Error{ETIMEDOUT, named(pid) + " does not end, and has ports"};
        }
    }
    return {};
}

}  // namespace vduse::app
