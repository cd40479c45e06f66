// SPDX-License-Identifier: BSD-3-Clause

// Which worker lcore does which job: decided once, before the workers start, and printed.
//
// A job is work that one thread must do alone: a bridge, or the part of a patch or a reflect that
// belongs to one group of a device (with groups=per-pair a patch has as many jobs as its sides have
// queues in common). A job whose group has a --group-lcore goes to that lcore. The other jobs, in
// the order of the command line, go to the worker with the fewest jobs, among those on the NUMA
// node of the job's ports if there are any. The first of equals wins. Guest memory is not known
// yet: the tables that lead to it follow the worker (Device::set_lcore), not the other way round.
//
// Pure functions: they use neither the EAL nor devices, so that test/unit/app/placement_test.cc can
// simulate any machine.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vduse/result.h"

namespace vduse::app {

struct Job {
    std::string what;                    ///< for output: "vd0 pair 1, net_tap0 queue 1"
    int node = -1;                       ///< the NUMA node of its ports; -1: any
    std::optional<unsigned> lcore = {};  ///< of --group-lcore
};

struct WorkerSlot {
    unsigned lcore = 0;
    int node = -1;
};

/// Returns, for each job, the index of its worker in `slots`, which must not be empty. Error: a
/// --group-lcore that is not a worker lcore, as a line to print.
Result<std::vector<size_t>> assign_workers(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots
);

/// One line for each worker: "lcore 2, node 0: vd0 pairs 0-1, net_tap0", or "nothing to do".
std::string describe(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots, std::span<const size_t> assigned
);

}  // namespace vduse::app
