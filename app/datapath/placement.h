// SPDX-License-Identifier: BSD-3-Clause

// Which worker lcore does what: decided once, before the workers start, and printed.
//
// A job is what one thread must do alone: a bridge, or what of a patch or a reflect belongs to one
// group of a device (with groups=per-pair a patch is as many jobs as its sides have queues in
// common). A job whose group has a --group-lcore goes there. Each other one, in the order of the
// command line, goes to the worker with the fewest jobs, of those on the NUMA node of its ports if
// there are any; the first of equals wins. Guest memory is not known yet: the tables that lead to
// it follow the worker (Device::set_lcore), not the other way round.
//
// Pure: knows neither EAL nor devices, so that test/unit/app/placement_test.cc can play any
// machine.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vduse/result.h"

namespace vduse::app {

struct Job {
    std::string what;                    ///< for people: "vd0 pair 1, net_tap0 queue 1"
    int node = -1;                       ///< the NUMA node of its ports; -1: any
    std::optional<unsigned> lcore = {};  ///< asked for
};

struct WorkerSlot {
    unsigned lcore = 0;
    int node = -1;
};

/// For each job the position of its worker in `slots`, of which there is at least one. The error is
/// a line for a person: a job wants an lcore that is no worker.
Result<std::vector<size_t>> assign_workers(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots
);

/// One line for each worker: "lcore 2, node 0: vd0 pairs 0-1, net_tap0", or "nothing to do".
std::string describe(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots, std::span<const size_t> assigned
);

}  // namespace vduse::app
