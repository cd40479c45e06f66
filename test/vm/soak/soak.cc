// SPDX-License-Identifier: BSD-3-Clause

// Creates and destroys devices in one process, and checks that nothing leaks.
//
// Each cycle creates a device, attaches it to the vDPA bus, opens and closes vhost_vdpa's node,
// detaches the device and destroys it. Afterwards descriptors, mappings, DPDK's heap and resident
// memory must be the same as after the first cycles, which allocate everything that is kept on
// purpose.
//
// usage: soak [EAL options] -- CYCLES, as root, with vhost_vdpa loaded
#include <rte_eal.h>
#include <rte_malloc.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "vduse/bus.h"
#include "vduse/device.h"

namespace vduse::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kWarmUp = 50;
/// In KiB. The allocator's pages vary by less; a leak of 1 KiB a cycle is far more.
constexpr size_t kResidentSlack = 256;
constexpr size_t kKilobyte = 1024;

struct Footprint {
    size_t descriptors = 0;
    size_t mappings = 0;
    size_t heap = 0;      ///< bytes allocated from DPDK
    size_t resident = 0;  ///< KiB of resident anonymous memory
};

Footprint footprint() {
    Footprint now;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd"))
        ++now.descriptors;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        ++now.mappings;
    for (int socket = 0; socket < RTE_MAX_NUMA_NODES; ++socket)
        if (rte_malloc_socket_stats stats{}; rte_malloc_get_socket_stats(socket, &stats) == 0)
            now.heap += stats.heap_allocsz_bytes;
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "RssAnon:")
            status >> now.resident;
    return now;
}

void print(unsigned cycles, const Footprint& now) {
    std::printf(
        "after %u cycles: %zu descriptors, %zu mappings, %zu KiB of DPDK's heap, %zu KiB "
        "resident\n",
        cycles,
        now.descriptors,
        now.mappings,
        now.heap / kKilobyte,
        now.resident
    );
}

bool fail(const std::string& why) {
    std::printf("FAIL: %s\n", why.c_str());
    return false;
}

/// Runs `work` on another thread while the control thread answers the kernel.
template <class Work>
Result<void> beside(Control& control, Work work) {
    Result<void> result;
    std::atomic<bool> done = false;
    std::thread thread([&] {
        result = work();
        done.store(true);
        control.wake();
    });
    while (!done.load())
        control.run_once(100);
    thread.join();
    return result;
}

bool cycle(Control& control, const std::string& name) {
    DeviceConfig config;
    config.name = name;
    config.queue_pairs = 2;
    auto device = control.add(config);
    if (!device)
        return fail(device.error().text());
    const auto used = beside(control, [&]() -> Result<void> {
        if (auto added = bus::vdpa_add(name); !added)
            return added;
        if (bus::vdpa_driver(name) != bus::kVhostVdpa)
            return Error{ENODEV, name + ": not bound to vhost_vdpa"};
        (void)bus::vdpa_in_use(name);  // opens and closes it
        return bus::vdpa_del(name);
    });
    if (!used)
        return fail(used.error().text());
    if (auto destroyed = (*device)->destroy(); !destroyed)
        return fail(destroyed.error().text());
    return true;
}

bool run(unsigned cycles) {
    auto control = Control::create();
    if (!control)
        return fail(control.error().text());
    Footprint before;
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned done = 0; done < cycles; ++done) {
        if (done == kWarmUp) {
            before = footprint();
            print(done, before);
        }
        // Names differ, so that a leak of anything stored by name shows.
        if (!cycle(**control, "soak" + std::to_string(done)))
            return false;
    }
    const Footprint after = footprint();
    print(cycles, after);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    std::printf("%.1f ms a cycle\n", took.count() / cycles);
    if (after.descriptors != before.descriptors)
        return fail("descriptors stay open");
    if (after.mappings > before.mappings)
        return fail("mappings stay");
    if (after.heap > before.heap)
        return fail("memory of DPDK's heap stays in use");
    if (after.resident > before.resident + kResidentSlack)
        return fail("resident memory grows");
    return true;
}

}  // namespace
}  // namespace vduse::test

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const int taken = rte_eal_init(argc, argv);
    if (taken < 0 || taken + 1 >= argc)
        return 2;
    const auto cycles = static_cast<unsigned>(std::strtoul(argv[taken + 1], nullptr, 10));
    const bool good = vduse::test::run(cycles);
    (void)rte_eal_cleanup();
    return good ? 0 : 1;
}
