// SPDX-License-Identifier: BSD-3-Clause

#include "sched/gate.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vduse::sched {
namespace {

long membarrier(int command) {
    return ::syscall(__NR_membarrier, command, 0, 0);
}

}  // namespace

Result<void> Gate::prepare() {
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0)
        return Error{errno, "membarrier(2), which the kernel must offer"};
    return {};
}

bool Gate::close(std::span<Gate* const> gates, std::chrono::milliseconds limit) {
    if (gates.empty())
        return true;
    for (Gate* gate : gates)
        gate->open_.store(false, std::memory_order_seq_cst);
    // Cannot fail after prepare().
    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    const auto leave = [deadline](const Gate* gate) {
        while (!gate->idle()) {
            if (std::chrono::steady_clock::now() > deadline)
                return false;
            ::sched_yield();  // the data thread may share our CPU
        }
        return true;
    };
    return std::ranges::all_of(gates, leave);
}

}  // namespace vduse::sched
