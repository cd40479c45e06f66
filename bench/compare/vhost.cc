// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/vhost.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace vduse::bench {
namespace {

/// Set by rte_vhost's own thread when a device starts and stops.
std::atomic<int> running = -1;

int new_device(int vid) {
    running = vid;
    return 0;
}
void destroy_device(int /*vid*/) {
    running = -1;
}

/// Returns false if `condition` is not met within ten seconds.
template <class Condition>
bool wait_for(Condition condition) {
    for (int i = 0; i < 10000 && !condition(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
}

constexpr rte_vhost_device_ops kOperations = [] {
    rte_vhost_device_ops operations{};
    operations.new_device = new_device;
    operations.destroy_device = destroy_device;
    return operations;
}();

}  // namespace

Vhost::Vhost(const Ram& ram, AddressPair rings, bool offloads) : Side(rings) {
    char folder[] = "/tmp/vduse-compare-XXXXXX";
    require(::mkdtemp(folder) != nullptr, "a folder for the socket");
    folder_ = folder;
    path_ = folder_ + "/vhost";
    constexpr uint64_t kFlags = RTE_VHOST_USER_IOMMU_SUPPORT |
                                RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS |
                                RTE_VHOST_USER_NET_STATS_ENABLE;
    require(
        rte_vhost_driver_register(path_.c_str(), kFlags) == 0 &&
            rte_vhost_driver_callback_register(path_.c_str(), &kOperations) == 0 &&
            rte_vhost_driver_start(path_.c_str()) == 0,
        "rte_vhost_driver_start"
    );
    front_end_ = std::make_unique<VhostUser>(
        path_,
        ram,
        std::array{to_guest_driver.layout(), from_guest_driver.layout()},
        kFeatures | (offloads ? kOffloads : uint64_t{0})
    );
    require(wait_for([] { return running >= 0; }), "rte_vhost did not start its device");
    vid_ = running;
}

Vhost::~Vhost() {
    front_end_.reset();
    wait_for([] { return running < 0; });
    rte_vhost_driver_unregister(path_.c_str());
    ::rmdir(folder_.c_str());
}

}  // namespace vduse::bench
