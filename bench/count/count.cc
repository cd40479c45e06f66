// SPDX-License-Identifier: BSD-3-Clause

// count: our burst functions in chosen cases of bench/compare, each a fixed number of times, to be
// run by devtools/count-instructions under callgrind. Callgrind counts the instructions of
// Ours::from_guest and Ours::to_guest with all that they call, and writes its counts each time that
// `count_case` returns. This program prints a line for each case, in the same order: its name, and
// the number of frames.
//
// Nothing here is measured in time, so other work on the machine does not matter.
#include <rte_eal.h>

#include <array>
#include <cstdio>
#include <vector>

#include "bench/compare/case.h"
#include "bench/compare/measure.h"
#include "bench/compare/ours.h"
#include "bench/compare/setup.h"

namespace vduse::bench {
namespace {

constexpr unsigned kWindows = 20;

std::vector<Case> counted_cases() {
    std::vector<Case> cases;
    for (const bool to_guest : {false, true}) {
        cases.push_back({.to_guest = to_guest});
        cases.push_back({.to_guest = to_guest, .frame = 60});
        cases.push_back({.to_guest = to_guest, .burst = 1});
        cases.push_back({.to_guest = to_guest, .frame = 1518});
        cases.push_back({.to_guest = to_guest, .regions = 8, .where = Where::spread});
        cases.push_back({.to_guest = to_guest, .regions = 512});
        cases.push_back({.to_guest = to_guest, .regions = 512, .where = Where::spread});
        cases.push_back({.to_guest = to_guest, .frame = 1518, .leaves = Leaves::csum});
        cases.push_back({.to_guest = to_guest, .frame = 65226, .leaves = Leaves::tso});
    }
    return cases;
}

}  // namespace

/// The name is what callgrind is told to look for.
extern "C" [[gnu::noinline]] void count_case(const Case& what, rte_mempool* pool) {
    const Ram ram(what.regions);
    Ours ours(ram, rings_of(ram, 0), what.leaves != Leaves::nothing);
    const std::array<Side*, 1> sides = {&ours};
    place_buffers(ram, what.where, sides);
    Bench bench(what, pool, nullptr);
    (void)bench.round(ours, kWindows);
    ours.check();
    std::printf("%s %u\n", what.name().c_str(), bench.frames_of_round(kWindows));
    std::fflush(stdout);
}

}  // namespace vduse::bench

int main() {
    vduse::bench::start_eal(0);
    rte_mempool* const pool = vduse::bench::make_pool();
    for (const vduse::bench::Case& what : vduse::bench::counted_cases())
        vduse::bench::count_case(what, pool);
    rte_eal_cleanup();
    return 0;
}
