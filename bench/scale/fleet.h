// SPDX-License-Identifier: BSD-3-Clause

// Many devices in one process, on the fake kernel, each with a driver that has sent nothing yet.
//
// Only queues from the guest are used. The rings of all of them are at the start of guest memory;
// they share the buffers, in the last region, which is why frames that are on their way at the same
// time must be alike.
//
// Threads: the constructor, the kernel and `control` belong to one thread at a time; a lane to
// another.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/compare/driver.h"
#include "bench/compare/ram.h"
#include "bench/compare/side.h"
#include "support/fake_kernel.h"
#include "vduse/device.h"

namespace vduse::bench {

class Fleet {
  public:
    /// One pair, and the driver of its queue from the guest.
    struct Lane {
        QueuePair pair;
        Driver* driver;
    };

    Fleet(const Ram& ram, size_t devices, uint16_t pairs) {
        constexpr uint64_t kStride = kBufferBytes + 256;
        const memory::Region& last = ram.regions().back();
        std::vector<AddressPair> buffers;
        for (uint64_t i = 0; i < kRingSize; ++i)
            buffers.push_back(AddressPair{last.host, last.first}.behind(i * kStride));
        for (size_t i = 0; i < devices * pairs; ++i) {
            constexpr uint64_t kPerRegion = Ram::kRegionBytes / Driver::kBytes;
            const memory::Region& region = ram.regions().at(i / kPerRegion);
            drivers_.push_back(std::make_unique<Driver>(
                AddressPair{region.host, region.first}.behind(i % kPerRegion * Driver::kBytes)
            ));
            drivers_.back()->use(buffers);
        }
        auto control = Control::create(&kernel_);
        require(bool(control), "Control");
        control_ = std::move(*control);
        for (size_t i = 0; i < devices; ++i)
            add(ram, pairs);
    }

    [[nodiscard]] std::vector<Lane>& lanes() noexcept { return lanes_; }
    [[nodiscard]] Control& control() noexcept { return *control_; }
    [[nodiscard]] test::FakeDevice& kernel(size_t device) noexcept { return *kernels_[device]; }
    [[nodiscard]] Device& device(size_t device) noexcept { return *devices_[device]; }

  private:
    void add(const Ram& ram, uint16_t pairs) {
        DeviceConfig config;
        config.name = "bench" + std::to_string(devices_.size());
        config.queue_pairs = pairs;
        config.queue_size = kRingSize;
        auto device = control_->add(config);
        require(bool(device), "a device");
        test::FakeDevice& kernel = *kernel_.device(config.name);
        kernel.pump = [this] { control_->run_once(0); };
        bool good = kernel.set_status(0);
        for (size_t i = 0; const memory::Region& region : ram.regions())
            kernel.map(
                0, region.first, region.last, ram.fd(), i++ * Ram::kRegionBytes, region.perm
            );
        kernel.set_features(
            kFeatures | virtio::kFeatureCtrlVq | (pairs > 1 ? virtio::kFeatureMq : uint64_t{0})
        );
        const size_t first = lanes_.size();
        for (uint16_t pair = 0; pair < pairs; ++pair)
            kernel.set_vq(2U * pair + 1, drivers_[first + pair]->layout());
        constexpr uint8_t kDriver = virtio::kStatusAcknowledge | virtio::kStatusDriver;
        good = good && kernel.set_status(kDriver | virtio::kStatusFeaturesOk) &&
               kernel.update_iotlb(0) &&
               kernel.set_status(kDriver | virtio::kStatusFeaturesOk | virtio::kStatusDriverOk);
        for (uint16_t pair = 0; pair < pairs; ++pair) {
            good = good && kernel.set_ready(2U * pair + 1);
            lanes_.push_back({(*device)->queue_pair(pair), drivers_[first + pair].get()});
        }
        require(good, "a device refused a message");
        for (int turn = 0; turn < 10; ++turn)
            control_->run_once(0);
        for (size_t i = first; i < lanes_.size(); ++i)
            require(lanes_[i].pair.serves(), "a queue does not run");
        kernels_.push_back(&kernel);
        devices_.push_back(std::move(*device));
    }

    std::vector<std::unique_ptr<Driver>> drivers_;
    test::FakeKernel kernel_;
    std::unique_ptr<Control> control_;
    std::vector<std::unique_ptr<Device>> devices_;
    std::vector<test::FakeDevice*> kernels_;
    std::vector<Lane> lanes_;
};

}  // namespace vduse::bench
