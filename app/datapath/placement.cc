// How it works: see placement.h.
#include "app/datapath/placement.h"

#include <algorithm>
#include <cerrno>

namespace vduse::app {
namespace {

/// The seat with the fewest jobs on `node`, or anywhere when `node` has none.
size_t idlest(std::span<const Seat> seats, std::span<const size_t> load, int node) {
    const bool local = std::ranges::find(seats, node, &Seat::node) != seats.end();
    std::optional<size_t> best;
    for (size_t i = 0; i < seats.size(); ++i)
        if ((!local || seats[i].node == node) && (!best || load[i] < load[*best]))
            best = i;
    return *best;
}

}  // namespace

Result<std::vector<size_t>> assign_workers(std::span<const Job> jobs, std::span<const Seat> seats) {
    std::vector<size_t> places(jobs.size());
    std::vector<size_t> load(seats.size());
    for (size_t i = 0; i < jobs.size(); ++i) {
        if (!jobs[i].lcore)
            continue;
        const auto seat = std::ranges::find(seats, *jobs[i].lcore, &Seat::lcore);
        if (seat == seats.end())
            return Error{
                EINVAL,
                "--group-lcore: lcore " + std::to_string(*jobs[i].lcore) +
                    " is no worker lcore of the EAL options"};
        places[i] = static_cast<size_t>(seat - seats.begin());
        ++load[places[i]];
    }
    for (size_t i = 0; i < jobs.size(); ++i) {
        if (jobs[i].lcore)
            continue;
        places[i] = idlest(seats, load, jobs[i].node);
        ++load[places[i]];
    }
    return places;
}

std::string describe(
    std::span<const Job> jobs, std::span<const Seat> seats, std::span<const size_t> places
) {
    std::string text;
    for (size_t seat = 0; seat < seats.size(); ++seat) {
        std::string done;
        for (size_t i = 0; i < jobs.size(); ++i)
            if (places[i] == seat)
                done += (done.empty() ? "" : "; ") + jobs[i].what;
        text += "lcore " + std::to_string(seats[seat].lcore);
        if (seats[seat].node >= 0)
            text += ", node " + std::to_string(seats[seat].node);
        text += ": " + (done.empty() ? "nothing to do" : done) + "\n";
    }
    return text;
}

}  // namespace vduse::app
