// SPDX-License-Identifier: BSD-3-Clause

// How it works: see placement.h.
#include "app/datapath/placement.h"

#include <algorithm>
#include <cerrno>

namespace vduse::app {
namespace {

/// The slot with the fewest jobs on `node`, or on any node if `node` has no slot.
size_t idlest(std::span<const WorkerSlot> slots, std::span<const size_t> load, int node) {
    const bool local = std::ranges::find(slots, node, &WorkerSlot::node) != slots.end();
    std::optional<size_t> best;
    for (size_t i = 0; i < slots.size(); ++i)
        if ((!local || slots[i].node == node) && (!best || load[i] < load[*best]))
            best = i;
    return *best;
}

}  // namespace

Result<std::vector<size_t>> assign_workers(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots
) {
    std::vector<size_t> assigned(jobs.size());
    std::vector<size_t> load(slots.size());
    for (size_t i = 0; i < jobs.size(); ++i) {
        if (!jobs[i].lcore)
            continue;
        const auto slot = std::ranges::find(slots, *jobs[i].lcore, &WorkerSlot::lcore);
        if (slot == slots.end())
            return Error{
                EINVAL,
                "--group-lcore: lcore " + std::to_string(*jobs[i].lcore) +
                    " is not a worker lcore of the EAL options"};
        assigned[i] = static_cast<size_t>(slot - slots.begin());
        ++load[assigned[i]];
    }
    for (size_t i = 0; i < jobs.size(); ++i) {
        if (jobs[i].lcore)
            continue;
        assigned[i] = idlest(slots, load, jobs[i].node);
        ++load[assigned[i]];
    }
    return assigned;
}

std::string describe(
    std::span<const Job> jobs, std::span<const WorkerSlot> slots, std::span<const size_t> assigned
) {
    std::string text;
    for (size_t slot = 0; slot < slots.size(); ++slot) {
        std::string done;
        for (size_t i = 0; i < jobs.size(); ++i)
            if (assigned[i] == slot)
                done += (done.empty() ? "" : "; ") + jobs[i].what;
        text += "lcore " + std::to_string(slots[slot].lcore);
        if (slots[slot].node >= 0)
            text += ", node " + std::to_string(slots[slot].node);
        text += ": " + (done.empty() ? "nothing to do" : done) + "\n";
    }
    return text;
}

}  // namespace vduse::app
