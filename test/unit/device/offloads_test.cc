// SPDX-License-Identifier: BSD-3-Clause

// Offloads of a session: frames are handled as the driver negotiates and switches offloads, also
// after another process adopts the device.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/frames.h"
#include "support/session_rig.h"
#include "support/temporary_folder.h"
#include "vduse/info.h"

namespace vduse::test {
namespace {

using namespace virtio;

class OffloadsTest : public SessionTest {
  protected:
    static constexpr uint64_t kGuest =
        kFeatureGuestCsum | kFeatureGuestTso4 | kFeatureGuestTso6 | kFeatureGuestEcn;
    static constexpr uint64_t kHost = kFeatureCsum | kFeatureHostTso4;
    static constexpr uint64_t kAll = kWithMq | kGuest | kHost;
    static constexpr uint16_t kMss = 500;

    TemporaryFolder folder;
    const Frame frame = make_frame({.payload = 901});
    Iova at = kBuffers + 0x10000;

    [[nodiscard]] DeviceConfig lasting() const {
        DeviceConfig config = two_pairs();
        config.persist = true;
        config.journal_folder = folder.path();
        return config;
    }
    void another_process(bool with_journal = true) {
        EXPECT_TRUE(device->destroy());
        device.reset();
        control.reset();
        if (!with_journal) {
            EXPECT_TRUE(std::filesystem::remove(folder.path() + "/vd0.journal"));
        }
        auto created = Control::create(&kernel);
        ASSERT_TRUE(created);
        control = std::move(*created);
        ASSERT_EQ(create(lasting()), "");
        EXPECT_TRUE(device->info().adopted);
    }
    static std::vector<uint8_t> offloads_set(uint64_t wanted) {
        std::vector<uint8_t> bytes = {5, 0};
        for (unsigned shift = 0; shift < 64; shift += 8)
            bytes.push_back(static_cast<uint8_t>(wanted >> shift));
        return bytes;
    }
    /// Sends `frame` to the driver on `pair`. Returns header and bytes of each frame that it
    /// receives.
    std::vector<FrameBytes> given(uint16_t pair, uint16_t mss = 0) {
        for (Iova i = 0; i < 2; ++i)
            ring(2U * pair).offer({{at + 2048 * i, 2048, true}});
        ring(2U * pair).publish();
        rte_mbuf* mbuf = pool.frame(frame.bytes);
        mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | (mss != 0 ? RTE_MBUF_F_RX_LRO : 0);
        mbuf->tso_segsz = mss;
        EXPECT_EQ(device->queue_pair(pair).to_guest(std::span(&mbuf, 1)), 1U);
        std::vector<FrameBytes> frames;
        for (Iova i = 0; const auto used = ring(2U * pair).take_used(); ++i) {
            frames.emplace_back(used->len);
            guest.read(at + 2048 * i, frames.back().data(), used->len);
        }
        // Another frame uses up the second buffer.
        if (frames.size() == 1) {
            EXPECT_EQ(give(pair), 1U);
            EXPECT_TRUE(ring(2U * pair).take_used());
        }
        return frames;
    }
    static FrameBytes without_header(const FrameBytes& bytes) {
        return {bytes.begin() + 12, bytes.end()};
    }
    /// Whether a frame arrives with a partial checksum, as its header says.
    bool is_left(uint16_t pair) {
        const auto got = given(pair);
        EXPECT_EQ(got.size(), 1U);
        const bool left = got[0][0] == 1;
        EXPECT_EQ(without_header(got[0]), left ? frame.bytes : finished(frame));
        return left;
    }
    bool is_large(uint16_t pair) { return given(pair, kMss).size() == 1; }
    /// Whether the driver may send a frame with a partial checksum.
    bool may_leave(uint16_t pair) {
        std::vector<uint8_t> header(12);
        header[0] = 1;
        header[6] = static_cast<uint8_t>(frame.l4_at());
        header[8] = 16;
        guest.write(kBuffers, header.data(), header.size());
        guest.write(kBuffers + 12, frame.bytes.data(), frame.bytes.size());
        offer_from_guest(pair, kBuffers, static_cast<uint32_t>(12 + frame.bytes.size()));
        const bool came = take(pair) == 1;
        EXPECT_TRUE(ring(2U * pair + 1).take_used());
        guest.write(kBuffers, std::vector<uint8_t>(12).data(), 12);
        return came;
    }
    void expect_all(uint16_t pair) {
        EXPECT_TRUE(is_left(pair));
        EXPECT_TRUE(is_large(pair));
        EXPECT_TRUE(may_leave(pair));
    }
};

TEST_F(OffloadsTest, WhatWasNegotiated) {
    ASSERT_EQ(create(), "");
    EXPECT_EQ(vd0->features & (kGuest | kHost), kGuest | kHost);
    qemu_start(kAll);
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    expect_all(0);
    expect_all(1);
    qemu_start(kWithMq);
    EXPECT_FALSE(is_left(0));
    EXPECT_FALSE(is_large(0));
    EXPECT_FALSE(may_leave(0));
    qemu_start(kWithMq | kFeatureGuestCsum);
    EXPECT_TRUE(is_left(0));
    EXPECT_FALSE(is_large(0));
    EXPECT_FALSE(may_leave(0));
    qemu_start(kWithMq | kFeatureCsum);
    EXPECT_FALSE(is_left(0));
    EXPECT_TRUE(may_leave(0));
}

TEST_F(OffloadsTest, WhatTheDriverSwitches) {
    ASSERT_EQ(create(), "");
    qemu_start(kAll);
    ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
    ASSERT_EQ(command(4, offloads_set(0)), 0U);
    for (const uint16_t pair : {uint16_t{0}, uint16_t{1}}) {
        EXPECT_FALSE(is_left(pair));
        EXPECT_FALSE(is_large(pair));
        EXPECT_TRUE(may_leave(pair)) << "the other direction's stay";
    }
    EXPECT_EQ(device->info().offloads_off, kGuest);
    ASSERT_EQ(command(4, offloads_set(kFeatureGuestCsum)), 0U);
    EXPECT_EQ(device->info().offloads_off, kGuest & ~kFeatureGuestCsum);
    EXPECT_TRUE(is_left(1));
    EXPECT_FALSE(is_large(1));
    EXPECT_EQ(command(4, offloads_set(kGuest | kFeatureCsum)), 1U) << "refused";
    EXPECT_TRUE(is_left(1));
    EXPECT_FALSE(is_large(1));
    // Other commands do not change the offloads.
    ASSERT_EQ(command(4, {0, 1, 1}), 0U);
    EXPECT_FALSE(is_large(1));
    ASSERT_EQ(command(4, offloads_set(kGuest)), 0U);
    expect_all(0);
    expect_all(1);
    // A new driver starts with all offloads that it negotiates.
    ASSERT_EQ(command(4, offloads_set(0)), 0U);
    qemu_start(kAll);
    expect_all(0);
}

TEST_F(OffloadsTest, AnotherProcessGoesOn) {
    ASSERT_EQ(create(lasting()), "");
    vd0->on_bus = true;
    qemu_start(kAll);
    another_process();
    expect_all(0);
    ASSERT_EQ(command(4, offloads_set(kFeatureGuestCsum)), 0U);
    another_process();
    EXPECT_TRUE(is_left(0));
    EXPECT_FALSE(is_large(0));
    EXPECT_TRUE(may_leave(0));
    ASSERT_EQ(command(4, offloads_set(0)), 0U);
    another_process();
    EXPECT_FALSE(is_left(0));
    EXPECT_FALSE(is_large(0));
    ASSERT_EQ(command(4, offloads_set(kGuest)), 0U);
    another_process();
    expect_all(0);
}

// Without a journal it is unknown whether the driver has switched offloads off. Complete frames are
// always valid.
TEST_F(OffloadsTest, WithoutAJournalFramesAreFinished) {
    ASSERT_EQ(create(lasting()), "");
    vd0->on_bus = true;
    qemu_start(kAll);
    another_process(false);
    EXPECT_FALSE(is_left(0));
    EXPECT_FALSE(is_large(0));
    EXPECT_TRUE(may_leave(0)) << "what it sends is its own affair";
    ASSERT_EQ(command(4, offloads_set(kGuest)), 0U);
    expect_all(0);
}

TEST_F(OffloadsTest, IncompleteFeaturesAreRefused) {
    ASSERT_EQ(create(), "");
    ASSERT_TRUE(vd0->set_status(0));
    vd0->set_features(kAll & ~kFeatureGuestCsum);
    EXPECT_FALSE(vd0->set_status(0x0b));
    vd0->set_features(kAll);
    EXPECT_TRUE(vd0->set_status(0x0b));
}

}  // namespace
}  // namespace vduse::test
