// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/ours.h"

#include "vduse/info.h"
#include "virtio/features.h"

namespace vduse::bench {

Ours::Ours(const Ram& ram, AddressPair rings, bool offloads) : Side(rings) {
    auto control = Control::create(&kernel_);
    require(bool(control), "our Control");
    control_ = std::move(*control);
    DeviceConfig config;
    config.name = "bench";
    config.queue_size = kRingSize;
    config.ctrl_vq = CtrlVq::off;
    auto device = control_->add(config);
    require(bool(device), "our Device");
    device_ = std::move(*device);
    pair_ = device_->queue_pair(0);

    test::FakeDevice& kernel = *kernel_.device(config.name);
    kernel.pump = [this] { control_->run_once(0); };
    const bool good = kernel.set_status(0);
    for (size_t i = 0; const memory::Region& region : ram.regions())
        kernel.map(0, region.first, region.last, ram.fd(), i++ * Ram::kRegionBytes, region.perm);
    kernel.set_features(kFeatures | (offloads ? kOffloads : uint64_t{0}));
    kernel.set_vq(0, to_guest_driver.layout());
    kernel.set_vq(1, from_guest_driver.layout());
    constexpr uint8_t kDriver = virtio::kStatusAcknowledge | virtio::kStatusDriver;
    require(
        good && kernel.set_status(kDriver | virtio::kStatusFeaturesOk) && kernel.update_iotlb(0) &&
            kernel.set_status(kDriver | virtio::kStatusFeaturesOk | virtio::kStatusDriverOk) &&
            kernel.set_ready(0) && kernel.set_ready(1),
        "our device refused a message"
    );
    for (int turn = 0; turn < 10; ++turn)
        control_->run_once(0);
    require(
        device_->driver_ok() && device_->info().spaces[0].size() == ram.regions().size(),
        "our device did not start with all regions"
    );
}

void Ours::check() {
    const QueueStats from_guest = pair_->from_guest_stats();
    const QueueStats to_guest = pair_->to_guest_stats();
    require(from_guest.misses + to_guest.misses == 0, "our side missed a region");
    require(from_guest.dropped + to_guest.dropped == 0, "our side dropped frames");
}

}  // namespace vduse::bench
