// SPDX-License-Identifier: BSD-3-Clause

// compare: our burst functions against rte_vhost, and both against the floor.
//
//   ours    the real Device behind the fake kernel of test/support
//   vhost   rte_vhost with an IOTLB, behind a small vhost-user front end
//   floor   only the copies and the stores to the ring
//
// All run in one process, on the same guest memory in the same regions, with the same driver. They
// take turns: round 1 of each, round 2 of each, and so on. So other load of the machine affects all
// of them. Usage: compare [--quick] [--json FILE] [FILTER...]; a filter is a part of a case's name,
// such as `frame64` or `to_guest`.
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "bench/compare/case.h"
#include "bench/compare/floor.h"
#include "bench/compare/measure.h"
#include "bench/compare/ours.h"
#include "bench/compare/setup.h"
#include "bench/compare/vhost.h"

namespace vduse::bench {
namespace {

struct Options {
    bool quick = false;
    std::string json;
    std::vector<std::string> filters;
};

/// The sides on one memory; recreated when the number of regions or the features change.
struct Rig {
    Rig(uint32_t regions, bool with_offloads, rte_mempool* pool)
        : offloads(with_offloads),
          ram(regions),
          ours(ram, rings_of(ram, 0), with_offloads),
          vhost(ram, rings_of(ram, 1), with_offloads),
          floor(rings_of(ram, 2), pool) {}

    [[nodiscard]] std::array<Side*, 3> sides() { return {&ours, &vhost, &floor}; }

    bool offloads;
    Ram ram;
    Ours ours;
    Vhost vhost;
    Floor floor;
};

/// The CPUs that this process may use, at most two.
std::vector<int> cpus() {
    cpu_set_t set;
    std::vector<int> found;
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE && found.size() < 2; ++cpu)
            if (CPU_ISSET(cpu, &set))
                found.push_back(cpu);
    return found;
}

Measured measure(const Case& what, Rig& rig, rte_mempool* pool, int other_cpu, bool quick) {
    Measured result{what, {}, {}, {}, 0};
    std::unique_ptr<OtherCore> other;
    if (other_cpu >= 0) {
        other = std::make_unique<OtherCore>(other_cpu);
        result.round_trip = other->round_trip();
    }
    if (what.cores == 1)
        other.reset();
    place_buffers(rig.ram, what.where, rig.sides());
    Bench bench(what, pool, other.get());
    rig.floor.expect(bench.frame());
    const unsigned rounds = quick ? 11 : 31;
    const unsigned windows = quick ? 40 : 400;
    std::array<std::vector<double>, 3> costs;
    // The first round warms caches and page tables, and is not counted.
    for (unsigned i = 0; i <= rounds; ++i)
        for (size_t side = 0; side < costs.size(); ++side) {
            const double cost = bench.round(*rig.sides()[side], windows);
            if (i != 0)
                costs[side].push_back(cost);
        }
    for (Side* side : rig.sides())
        side->check();
    result.ours = Cost::of(costs[0]);
    result.vhost = Cost::of(costs[1]);
    result.floor = Cost::of(costs[2]);
    return result;
}

int run(const Options& options) {
    std::vector<Case> cases = all_cases();
    std::erase_if(cases, [&](const Case& c) { return !c.matches(options.filters); });
    require(!cases.empty(), "no case has all these parts");
    const std::vector<int> cores = cpus();
    require(!cores.empty(), "no CPU");
    if (cores.size() < 2) {
        std::printf("there is one CPU: the cases with two cores are left out\n");
        std::erase_if(cases, [](const Case& c) { return c.cores == 2; });
    }
    // While our side maps the regions, each has an open file.
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    start_eal(cores[0]);
    rte_mempool* const pool = make_pool();

    std::vector<Measured> rows;
    std::unique_ptr<Rig> rig;
    print_head();
    for (const Case& what : cases) {
        const bool offloads = what.leaves != Leaves::nothing;
        if (!rig || rig->ram.regions().size() != what.regions || rig->offloads != offloads) {
            rig.reset();
            rig = std::make_unique<Rig>(what.regions, offloads, pool);
        }
        const int other = cores.size() < 2 ? -1 : cores[1];
        rows.push_back(measure(what, *rig, pool, other, options.quick));
        print_row(rows.back());
    }
    rig.reset();
    require(rte_mempool_in_use_count(pool) == 0, "mbufs leaked");
    require(options.json.empty() || write_json(options.json, rows), "writing the JSON file");
    rte_eal_cleanup();
    return 0;
}

}  // namespace
}  // namespace vduse::bench

int main(int argc, char** argv) {
    vduse::bench::Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--quick")
            options.quick = true;
        else if (argument == "--json" && i + 1 < argc)
            options.json = argv[++i];
        else if (argument.starts_with("-"))
            vduse::bench::give_up("usage: compare [--quick] [--json FILE] [FILTER...]");
        else
            options.filters.push_back(argument);
    }
    return vduse::bench::run(options);
}
