// SPDX-License-Identifier: BSD-3-Clause

// churn: the maps of a device change 1,000 times a second while its queue from the guest is busy.
//
// A data thread on the first CPU takes frames. Control, on the second, has the kernel unmap a
// region or map it again, and waits for the answer to VDUSE_UPDATE_IOTLB: from then on, nothing may
// use the old map (the scenario iotlb_churn tests that). Half seconds with changes and without
// alternate.
//
//   kept      throughput with changes, as a share of that without
//   answers   time until the answer, us
//
// Usage: bench_churn [--json FILE]
#include <cstdio>
#include <fstream>
#include <string>

#include "bench/compare/case.h"
#include "bench/compare/setup.h"
#include "bench/scale/traffic.h"

namespace vduse::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kRegions = 64;
constexpr auto kPeriod = std::chrono::milliseconds(1);
constexpr auto kTime = std::chrono::milliseconds(500);
constexpr int kRounds = 9;
constexpr double kKept = 0.8;
constexpr double kBarUs = 1000;

/// Unmaps and maps regions that hold neither rings nor buffers until `stop`.
void change(Fleet& fleet, const Ram& ram, const std::atomic<bool>& stop, Latencies& latencies) {
    test::FakeDevice& kernel = fleet.kernel(0);
    auto next = Clock::now();
    for (size_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        const size_t number = 1 + i / 2 % (kRegions - 2);
        const memory::Region& region = ram.regions()[number];
        if (i % 2 == 0)
            kernel.unmap(0, region.first);
        else
            kernel.map(
                0, region.first, region.last, ram.fd(), number * Ram::kRegionBytes, region.perm
            );
        const auto start = Clock::now();
        require(kernel.update_iotlb(0), "no answer");
        latencies.add(Clock::now() - start);
        next += kPeriod;
        std::this_thread::sleep_until(next);
    }
}

/// Frames per second of full traffic for `kTime`.
double traffic_for(FullTraffic& traffic) {
    uint64_t frames = 0;
    const auto start = Clock::now();
    while (Clock::now() - start < kTime)
        for (int i = 0; i < 100; ++i)
            frames += traffic.round();
    return static_cast<double>(frames) /
           std::chrono::duration<double>(Clock::now() - start).count();
}

int run(const char* json) {
    start_eal(0);
    rte_mempool* const pool = make_pool();
    const Ram ram(kRegions);
    const Frame frame(64, Leaves::nothing);
    Fleet fleet(ram, 1, 1);
    Latencies latencies;
    std::vector<double> kept;
    FullTraffic traffic(fleet.lanes(), frame, pool);
    for (int round = 0; round < kRounds; ++round) {
        const double quiet = traffic_for(traffic);
        std::atomic<bool> stop = false;
        double changing = 0;
        {
            const OnCpu control(1, [&] { change(fleet, ram, stop, latencies); });
            changing = traffic_for(traffic);
            stop = true;
        }
        kept.push_back(changing / quiet);
    }
    traffic.finish();
    const Cost share = Cost::of(kept);
    const double changes = static_cast<double>(latencies.all.size()) /
                           (kRounds * std::chrono::duration<double>(kTime).count());
    const double p50 = latencies.quantile(0.5);
    const double p99 = latencies.quantile(0.99);
    std::printf(
        "%.0f changes a second of %zu regions: kept %.1f %% (spread %.1f), answers p50 %.0f us, "
        "p99 %.0f us\n",
        changes,
        kRegions,
        100 * share.median,
        100 * share.spread,
        p50,
        p99
    );
    rte_eal_cleanup();
    if (json != nullptr && !(std::ofstream(json) << "{\"changes\": " << changes << ", \"kept\": "
                                                 << share.median << ", \"answer_p50_us\": " << p50
                                                 << ", \"answer_p99_us\": " << p99 << "}\n"))
        give_up("the JSON file cannot be written");
    if (share.median >= kKept && p99 < kBarUs)
        return 0;
    std::fprintf(stderr, "churn: wanted are %.0f %% and less than %.0f us\n", 100 * kKept, kBarUs);
    return 1;
}

}  // namespace
}  // namespace vduse::bench

int main(int argc, char** argv) {
    return vduse::bench::run(vduse::bench::json_option(argc, argv));
}
