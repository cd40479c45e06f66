// SPDX-License-Identifier: BSD-3-Clause

// A device on the fake kernel, with both sides: Control and Device as a program uses them, and
// the call sequences that QEMU, virtio_vdpa and guest drivers were observed to make.
//
// Guest memory is one region in space 0 that starts at address 0. Ring `i` is at
// (i + 1) * kRingStep, buffers start at kBuffers. Space 1 is QEMU's own memory, for a shadowed
// control queue.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/eal.h"
#include "support/fake_kernel.h"
#include "support/mock_driver.h"
#include "vduse/device.h"
#include "virtio/features.h"

namespace vduse::test {

/// Start addresses of this process's mappings of the file behind `fd`.
inline std::vector<uintptr_t> mappings_of(int fd) {
    struct stat status {};
    ::fstat(fd, &status);
    std::vector<uintptr_t> found;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        uintptr_t start = 0;
        unsigned long inode = 0;
        if (std::sscanf(line.c_str(), "%" SCNxPTR "-%*x %*s %*x %*x:%*x %lu", &start, &inode) ==
                2 &&
            inode == status.st_ino)
            found.push_back(start);
    }
    return found;
}

class SessionTest : public testing::Test {
  protected:
    using Iova = memory::Iova;

    static constexpr uint64_t kBase =
        virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform | virtio::kFeatureMtu;
    static constexpr uint64_t kWithCvq =
        kBase | (virtio::kControlFeatures & ~virtio::kFeatureMq & ~virtio::kFeatureDeviceStats);
    static constexpr uint64_t kWithMq = kWithCvq | virtio::kFeatureMq;
    static constexpr std::array<uint8_t, 6> kMac = {2, 0, 0, 0, 0, 7};

    static constexpr Iova kRingStep = 0x10000;
    static constexpr Iova kBuffers = 0x20'0000;
    static constexpr Iova kRam = 0x40'0000;  ///< size of guest memory

    FakeKernel kernel;
    Pool pool{256};
    GuestMemory guest;   ///< space 0
    GuestMemory shadow;  ///< space 1: QEMU's own rings
    std::unique_ptr<Control> control;
    std::unique_ptr<Device> device;
    FakeDevice* vd0 = nullptr;
    std::map<uint32_t, MockDriver> rings;
    AddressPair command_at;  ///< buffer for control commands
    AddressPair ack_at;      ///< buffer for their acks

    SessionTest() {
        guest.add(0, kRam - 1);
        // Pages as QEMU maps them: command, ack, descriptors and avail ring, used ring. In space 0
        // the same addresses are guest memory.
        shadow.add_bytes(0x1000, 0x1000, kRead);
        shadow.add_bytes(0x2000, 0x1000);
        shadow.add_bytes(0x3000, 0x1000, kRead);
        shadow.add_bytes(0x4000, 0x1000);
        auto created = Control::create(&kernel);
        EXPECT_TRUE(created);
        control = std::move(*created);
    }
    ~SessionTest() override {
        device.reset();
        control.reset();
    }

    static DeviceConfig two_pairs() {
        DeviceConfig config;
        config.name = "vd0";
        config.queue_pairs = 2;
        config.mac = kMac;
        return config;
    }

    /// Creates the device. Returns the text of the error, or "".
    std::string create(const DeviceConfig& config = two_pairs()) {
        auto added = control->add(config);
        if (!added)
            return added.error().text();
        device = std::move(*added);
        vd0 = kernel.device(config.name);
        vd0->pump = [this] { control->run_once(0); };
        return {};
    }
    void settle() {
        for (int turn = 0; turn < 10; ++turn)
            vd0->pump();
    }

    // ---- the driver's side

    /// Makes a new ring for data queue `index` in guest memory and tells the kernel its addresses.
    MockDriver& set_up(uint32_t index, uint32_t size = 64, uint16_t start = 0) {
        const AddressPair at = guest.address((index + 1) * kRingStep);
        rings.erase(index);
        const bool event_idx = (vd0->driver_features & virtio::kFeatureEventIdx) != 0;
        const auto made = rings.try_emplace(
            index,
            RingAreas::behind(at, size),
            MockDriver::Options{.size = size, .event_idx = event_idx, .start = start}
        );
        MockDriver& ring = made.first->second;
        vd0->set_vq(index, ring.layout(), start);
        return ring;
    }
    /// Sets up the control queue in QEMU's own memory: 64 entries, its parts at 0x3000, 0x3400 and
    /// 0x4000.
    MockDriver& set_up_shadow(uint32_t index) {
        rings.erase(index);
        const RingAreas areas = {
            shadow.address(0x3000), shadow.address(0x3400), shadow.address(0x4000)};
        const auto made = rings.try_emplace(index, areas, MockDriver::Options{.size = 64});
        vd0->set_vq(index, made.first->second.layout());
        command_at = shadow.address(0x1000);
        ack_at = shadow.address(0x2000);
        return made.first->second;
    }
    MockDriver& ring(uint32_t index) { return rings.at(index); }

    /// Sends a command through the control queue at `index`. Returns its ack, or 0xff if there was
    /// none.
    unsigned command(uint32_t index, const std::vector<uint8_t>& bytes) {
        std::memcpy(command_at.host, bytes.data(), bytes.size());
        *ack_at.host = std::byte{0xee};
        ring(index).offer(
            {{command_at.iova, static_cast<uint32_t>(bytes.size()), false}, {ack_at.iova, 1, true}}
        );
        ring(index).publish();
        vd0->kick(index);
        settle();
        const auto used = ring(index).take_used();
        return used && used->len == 1 ? static_cast<unsigned>(*ack_at.host) : 0xff;
    }

    /// The driver sends one frame on `pair`. Returns whether the device receives it.
    bool frame_from_guest(uint16_t pair, Iova at = kBuffers) {
        offer_from_guest(pair, at);
        return take(pair) == 1;
    }
    void offer_from_guest(uint16_t pair, Iova at = kBuffers, uint32_t bytes = 72) {
        ring(2U * pair + 1).offer({{at, bytes, false}});
        ring(2U * pair + 1).publish();
    }
    size_t take(uint16_t pair) {
        std::array<rte_mbuf*, 32> frames;
        const uint16_t count = device->queue_pair(pair).from_guest(pool.get(), frames);
        rte_pktmbuf_free_bulk(frames.data(), count);
        return count;
    }
    /// Sends one frame to the driver on `pair`. Returns whether the device takes it and the driver
    /// receives it.
    bool frame_to_guest(uint16_t pair, Iova at = kBuffers + 0x10000) {
        ring(2U * pair).offer({{at, 2048, true}});
        ring(2U * pair).publish();
        return give(pair) == 1 && ring(2U * pair).take_used().has_value();
    }
    size_t give(uint16_t pair) {
        rte_mbuf* frame = pool.frame(pattern(60));
        const uint16_t taken = device->queue_pair(pair).to_guest(std::span(&frame, 1));
        if (taken == 0)
            rte_pktmbuf_free(frame);
        return taken;
    }
    bool traffic(uint16_t pair) { return frame_from_guest(pair) && frame_to_guest(pair); }

    // ---- sequences observed on real systems

    void map_guest() {
        vd0->map(0, guest);
        EXPECT_TRUE(vd0->update_iotlb(0));
    }
    /// QEMU's calls up to DRIVER_OK, with an isolated control queue at index `cvq`.
    void qemu_until_driver_ok(uint64_t features, uint32_t cvq) {
        EXPECT_TRUE(vd0->set_status(0));
        vd0->set_features(features);
        EXPECT_TRUE(vd0->set_status(0x08));
        for (uint32_t i = 0; i < (features & virtio::kFeatureMq ? 4U : 2U); ++i)
            set_up(i);
        EXPECT_TRUE(vd0->set_group_asid(vd0->vqs[cvq].group, 1));
        set_up_shadow(cvq);
        vd0->map(1, shadow);
        EXPECT_TRUE(vd0->update_iotlb(1));
        map_guest();
        EXPECT_TRUE(vd0->set_status(0x0c));
    }
    void qemu_start(uint64_t features = kWithMq, uint32_t cvq = 4) {
        qemu_until_driver_ok(features, cvq);
        EXPECT_TRUE(vd0->set_ready(cvq));
        for (uint32_t i = 0; i < 4; ++i)
            EXPECT_TRUE(vd0->set_ready(i));
        settle();
    }
    /// Start of a driver without control queue and with one pair. `before_maps` may change its
    /// rings.
    void plain_start(
        uint64_t features = kBase, const std::function<void()>& before_maps = [] {}
    ) {
        EXPECT_TRUE(vd0->set_status(0));
        vd0->set_features(features);
        EXPECT_TRUE(vd0->set_status(0x0b));
        set_up(0);
        set_up(1);
        before_maps();
        vd0->unmap_all(0);
        map_guest();
        EXPECT_TRUE(vd0->set_status(0x0f));
        EXPECT_TRUE(vd0->set_ready(0));
        EXPECT_TRUE(vd0->set_ready(1));
        settle();
    }
};

}  // namespace vduse::test
