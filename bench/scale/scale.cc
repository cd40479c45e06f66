// SPDX-License-Identifier: BSD-3-Clause

// scale: 1, 16 and 64 devices with 4 pairs each in one process, on the fake kernel, on two CPUs: a
// data thread on the first, control on the second.
//
//   start     to create the devices and to bring up their drivers, ms
//   memory    of a device, without guest memory and with the fake kernel's part, KiB
//   idle      to poll a queue that has nothing, ns
//   busy      throughput of one queue among all others, which are idle, as a share of what it has
//             alone; the lanes are polled as the application's workers do (poll_order.h)
//   answers   to messages of the kernel while all queues are busy, us. The kernel gives up after
//             30 s; the bar for p99.9 is 10 ms
//
// Usage: bench_scale [--json FILE]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>

#include "app/datapath/poll_order.h"
#include "bench/compare/case.h"
#include "bench/compare/setup.h"
#include "bench/scale/traffic.h"

namespace vduse::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kPairs = 4;
constexpr unsigned kMessages = 5000;
constexpr double kBarUs = 10'000;

/// The process's own memory, KiB; shared memory such as the guest's does not count.
double own_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:"))
            return std::atof(line.c_str() + std::strlen("RssAnon:"));
    give_up("no RssAnon in /proc/self/status");
}

double ns_of(uint64_t cycles) {
    return static_cast<double>(cycles) * 1e9 / static_cast<double>(rte_get_tsc_hz());
}

struct Result {
    size_t devices = 0;
    double start_ms = 0;
    double memory_kib = 0;
    double idle_ns = 0;
    double busy_share = 0;
    double answer_p50_us = 0;
    double answer_p999_us = 0;
};

/// The time of a poll of an idle queue: the median of some rounds over all.
double poll_idle(const std::vector<Fleet::Lane>& lanes, rte_mempool* pool) {
    std::vector<double> rounds;
    const size_t polls = std::max<size_t>(1, 4096 / lanes.size());
    for (int round = 0; round < 101; ++round) {
        const uint64_t start = rte_rdtsc_precise();
        for (size_t i = 0; i < polls; ++i)
            for (const Fleet::Lane& lane : lanes)
                require(take(lane, pool) == 0, "an idle queue has frames");
        rounds.push_back(
            ns_of(rte_rdtsc_precise() - start) / static_cast<double>(polls * lanes.size())
        );
    }
    return Cost::of(std::move(rounds)).median;
}

/// Cycles per frame of the first of `lanes`. The others are idle.
double poll_busy(std::span<const Fleet::Lane> lanes, const Frame& frame, rte_mempool* pool) {
    app::PollOrder order(lanes.size());
    std::vector<double> windows;
    for (int window = 0; window < 2000; ++window) {
        lanes[0].driver->send(frame, kTrafficWindow, 0);
        unsigned left = kTrafficWindow;
        const uint64_t start = rte_rdtsc_precise();
        while (left != 0)
            order.round([&](size_t lane) noexcept {
                const uint16_t count = take(lanes[lane], pool);
                left -= count;
                return count != 0;
            });
        windows.push_back(static_cast<double>(rte_rdtsc_precise() - start) / kTrafficWindow);
        lanes[0].driver->reclaim(frame, kTrafficWindow);
    }
    return Cost::of(std::move(windows)).median;
}

/// Sends messages on the other CPU while this thread has full traffic on all lanes.
Latencies ask(Fleet& fleet, size_t devices, const Frame& frame, rte_mempool* pool) {
    Latencies latencies;
    std::atomic<bool> done = false;
    FullTraffic traffic(fleet.lanes(), frame, pool);
    {
        const OnCpu control(1, [&] {
            for (unsigned i = 0; i < kMessages; ++i) {
                const auto start = Clock::now();
                require(fleet.kernel(i % devices).update_iotlb(0), "no answer");
                latencies.add(Clock::now() - start);
            }
            done = true;
        });
        while (!done.load(std::memory_order_relaxed))
            (void)traffic.round();
    }
    traffic.finish();
    return latencies;
}

Result measure(size_t devices, rte_mempool* pool) {
    Result result;
    result.devices = devices;
    const Ram ram(4);
    const Frame frame(64, Leaves::nothing);
    const double memory = own_memory();
    const auto start = Clock::now();
    Fleet fleet(ram, devices, kPairs);
    result.start_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    result.memory_kib = (own_memory() - memory) / static_cast<double>(devices);
    result.idle_ns = poll_idle(fleet.lanes(), pool);
    const std::span<const Fleet::Lane> lanes = fleet.lanes();
    result.busy_share = poll_busy(lanes.first(1), frame, pool) / poll_busy(lanes, frame, pool);
    Latencies latencies = ask(fleet, devices, frame, pool);
    result.answer_p50_us = latencies.quantile(0.5);
    result.answer_p999_us = latencies.quantile(0.999);
    return result;
}

int run(const char* json) {
    start_eal(0);
    rte_mempool* const pool = make_pool();
    std::printf(
        "%8s %8s %10s %8s %8s %14s %14s\n",
        "devices",
        "start",
        "memory",
        "idle",
        "busy",
        "answers p50",
        "answers p99.9"
    );
    std::string rows;
    bool good = true;
    for (const size_t devices : {1U, 16U, 64U}) {
        const Result result = measure(devices, pool);
        std::printf(
            "%8zu %5.0f ms %6.0f KiB %5.1f ns %6.0f %% %11.0f us %11.0f us\n",
            devices,
            result.start_ms,
            result.memory_kib,
            result.idle_ns,
            100 * result.busy_share,
            result.answer_p50_us,
            result.answer_p999_us
        );
        good = good && result.answer_p999_us < kBarUs;
        std::array<char, 400> row;
        std::snprintf(
            row.data(),
            row.size(),
            "%s  {\"devices\": %zu, \"pairs\": %u, \"start_ms\": %.1f, \"memory_kib\": %.0f, "
            "\"idle_ns\": %.2f, \"busy_share\": %.3f, \"answer_p50_us\": %.1f, "
            "\"answer_p999_us\": %.1f}",
            rows.empty() ? "" : ",\n",
            devices,
            unsigned{kPairs},
            result.start_ms,
            result.memory_kib,
            result.idle_ns,
            result.busy_share,
            result.answer_p50_us,
            result.answer_p999_us
        );
        rows += row.data();
    }
    rte_eal_cleanup();
    if (json != nullptr && !(std::ofstream(json) << "[\n" << rows << "\n]\n"))
        give_up("the JSON file cannot be written");
    if (!good)
        std::fprintf(stderr, "scale: p99.9 of the answers is above %.0f us\n", kBarUs);
    return good ? 0 : 1;
}

}  // namespace
}  // namespace vduse::bench

int main(int argc, char** argv) {
    return vduse::bench::run(vduse::bench::json_option(argc, argv));
}
