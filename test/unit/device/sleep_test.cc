// SPDX-License-Identifier: BSD-3-Clause

// Sleeping of a data thread on a queue: kick_fd, arm_from_guest and disarm_from_guest on the fake
// kernel, with and without the event index. No wake-up may be lost, whatever control does to the
// queue meanwhile. test/model/sleep.pml checks all interleavings.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/fetch_ledger.h"
#include "support/session_rig.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

/// Parameter: with the event index.
class SleepTest : public SessionTest, public testing::WithParamInterface<bool> {
  protected:
    [[nodiscard]] static uint64_t features(uint64_t base = kBase) {
        return base | (GetParam() ? virtio::kFeatureEventIdx : 0);
    }
    /// Whether a thread that sleeps on `pair` wakes up within `milliseconds`.
    [[nodiscard]] bool woken(uint16_t pair = 0, int milliseconds = 0) const {
        pollfd poll{device->queue_pair(pair).kick_fd(), POLLIN, 0};
        return ::poll(&poll, 1, milliseconds) == 1;
    }
    void drain(uint16_t pair = 0) const {
        uint64_t kicks = 0;
        (void)!::read(device->queue_pair(pair).kick_fd(), &kicks, sizeof kicks);
    }
    /// The driver sends a frame. Returns whether it kicks.
    bool send(uint16_t pair = 0, Iova at = kBuffers) {
        MockDriver& from_guest = ring(2U * pair + 1);
        from_guest.offer({{at, 72, false}});
        const bool kicks = from_guest.publish();
        if (kicks)
            vd0->kick(2U * pair + 1);
        return kicks;
    }
    void start() {
        ASSERT_EQ(create(), "");
        plain_start(features());
        drain();
    }
    /// A whole cycle: sleeps, is woken by a frame, receives it.
    void expect_wakes_for_a_frame(uint16_t pair = 0) {
        drain(pair);
        ASSERT_TRUE(device->queue_pair(pair).arm_from_guest());
        ASSERT_FALSE(woken(pair));
        EXPECT_TRUE(send(pair));
        EXPECT_TRUE(woken(pair));
        drain(pair);
        device->queue_pair(pair).disarm_from_guest();
        EXPECT_EQ(take(pair), 1U);
    }
};

TEST_P(SleepTest, ThePolledQueueIsNotKicked) {
    start();
    EXPECT_FALSE(send());
    EXPECT_FALSE(woken());
    EXPECT_EQ(take(0), 1U);
}

TEST_P(SleepTest, TheArmedQueueIsKickedUntilItIsDisarmed) {
    start();
    for (int round = 0; round < 3; ++round) {
        expect_wakes_for_a_frame();
        EXPECT_FALSE(send()) << "polled again";
        EXPECT_FALSE(woken());
        EXPECT_EQ(take(0), 1U);
    }
}

TEST_P(SleepTest, WhatIsThereAlreadyIsSaid) {
    start();
    EXPECT_FALSE(send());
    EXPECT_FALSE(device->queue_pair(0).arm_from_guest());
    EXPECT_FALSE(send()) << "it is still polled";
    EXPECT_EQ(take(0), 2U);
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest());
}

// A frame sent while the queue is being armed is seen by the final check, or causes a kick.
TEST_P(SleepTest, TheLastLookComesBehindTheRequest) {
    start();
    FetchLedger ledger;
    ledger.begin();
    bool kicked = false;
    ledger.after(1, [&] { kicked = send(); });
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest()) << "the look was just over";
    EXPECT_EQ(ledger.fetches(), 1U);
    EXPECT_TRUE(kicked);
    EXPECT_TRUE(woken());
}

TEST_P(SleepTest, EachPairHasItsOwn) {
    ASSERT_EQ(create(), "");
    qemu_start(features(kWithMq));
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    ASSERT_NE(device->queue_pair(0).kick_fd(), device->queue_pair(1).kick_fd());
    drain(0);
    drain(1);
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest());
    EXPECT_TRUE(device->queue_pair(1).arm_from_guest());
    EXPECT_TRUE(send(1));
    EXPECT_TRUE(woken(1));
    EXPECT_FALSE(woken(0));
    EXPECT_TRUE(frame_to_guest(0)) << "the other direction kicks nobody";
    EXPECT_FALSE(woken(0));
}

TEST_P(SleepTest, AStartWakes) {
    ASSERT_EQ(create(), "");
    const int fd = device->queue_pair(0).kick_fd();
    EXPECT_GE(fd, 0);
    EXPECT_FALSE(woken());
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest()) << "nothing to do";
    plain_start(features());
    EXPECT_TRUE(woken());
    expect_wakes_for_a_frame();

    ASSERT_TRUE(device->queue_pair(0).arm_from_guest());
    EXPECT_TRUE(vd0->set_status(0));
    EXPECT_FALSE(woken()) << "nothing to do after a reset";
    device->queue_pair(0).disarm_from_guest();
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest());
    plain_start(features());
    EXPECT_TRUE(woken());
    EXPECT_EQ(device->queue_pair(0).kick_fd(), fd);
    expect_wakes_for_a_frame();
}

// The frame was sent before the queue was ready, while kicks were lost.
TEST_P(SleepTest, AFrameThatWasThereBeforeTheStart) {
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(vd0->set_status(0));
    vd0->set_features(features());
    EXPECT_TRUE(vd0->set_status(0x0b));
    set_up(0);
    set_up(1);
    map_guest();
    ASSERT_TRUE(device->queue_pair(0).arm_from_guest());
    EXPECT_TRUE(send()) << "the ring is new, nobody refused kicks";
    EXPECT_FALSE(woken()) << "as in the kernel: nobody hears it";
    EXPECT_TRUE(vd0->set_status(0x0f));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_TRUE(woken());
    EXPECT_EQ(take(0), 1U);
}

TEST_P(SleepTest, WhateverStopsAQueueWakesWhenItGoesOn) {
    start();
    const auto armed = [&] {
        drain();
        return device->queue_pair(0).arm_from_guest() && !woken();
    };
    ASSERT_TRUE(armed());
    EXPECT_TRUE(vd0->update_iotlb(0));
    settle();
    EXPECT_TRUE(woken()) << "a change of memory";
    ASSERT_TRUE(armed());
    EXPECT_EQ(vd0->get_vq_state(1), 0);
    EXPECT_TRUE(woken()) << "a question for its position";
    ASSERT_TRUE(armed());
    EXPECT_TRUE(vd0->set_ready(1, false));
    EXPECT_FALSE(woken());
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_TRUE(woken()) << "made ready again";
    ASSERT_TRUE(armed());
    EXPECT_TRUE(vd0->suspend());
    EXPECT_FALSE(woken());
    plain_start(features());
    EXPECT_TRUE(woken()) << "suspended, reset and started";
    expect_wakes_for_a_frame();
}

// A chain that waits for control to find its memory keeps the thread awake until control is done.
TEST_P(SleepTest, AMissWakes) {
    start();
    EXPECT_FALSE(send(0, 0x5000'0000));
    EXPECT_EQ(take(0), 0U);
    EXPECT_FALSE(device->queue_pair(0).arm_from_guest());
    settle();
    EXPECT_TRUE(woken());
    EXPECT_EQ(take(0), 0U);
    EXPECT_EQ(ring(1).used_idx(), 1) << "dropped";
    expect_wakes_for_a_frame();
}

TEST_P(SleepTest, AQuarantinedQueueLetsSleep) {
    start();
    ring(1).write_avail_idx(1000);
    EXPECT_EQ(take(0), 0U);
    settle();
    drain();
    EXPECT_TRUE(device->queue_pair(0).arm_from_guest());
    vd0->update_iotlb(0);
    settle();
    EXPECT_FALSE(woken());
}

// The driver overwrites fields of the used ring, which belong to the device. It loses its own
// kicks, and nothing else happens.
TEST_P(SleepTest, ADriverThatOverwritesOurWish) {
    start();
    ASSERT_TRUE(device->queue_pair(0).arm_from_guest());
    std::byte* const used = ring(1).areas().used.host;
    std::fill_n(used + ring::kFlagsOffset, 2, std::byte{0xff});
    if (GetParam())
        std::fill_n(used + ring::kRingOffset + 8 * 64, 2, std::byte{0xee});
    EXPECT_FALSE(send());
    EXPECT_FALSE(woken());
    device->queue_pair(0).disarm_from_guest();
    EXPECT_EQ(take(0), 1U);
    expect_wakes_for_a_frame();
}

// A driver sends with pauses of different lengths, and a thread sleeps whenever it may.
TEST_P(SleepTest, NoFrameIsLeftBehind) {
    constexpr uint32_t kFrames = 3000;
    start();
    std::atomic<uint32_t> taken = 0;
    std::atomic<uint32_t> sleeps = 0;
    std::atomic<bool> lost = false;
    std::thread worker([&] {
        while (taken < kFrames && !lost) {
            if (const size_t count = take(0); count != 0) {
                taken += static_cast<uint32_t>(count);
                continue;
            }
            if (device->queue_pair(0).arm_from_guest()) {
                ++sleeps;
                lost = !woken(0, 20000);
                drain();
            }
            device->queue_pair(0).disarm_from_guest();
        }
    });
    for (uint32_t sent = 0; sent < kFrames && !lost;) {
        while (ring(1).take_used()) {
        }
        if (ring(1).free() == 0) {
            std::this_thread::yield();
            continue;
        }
        send();
        ++sent;
        for (uint32_t pause = sent * 7919 % 64; pause-- > 0;)
            std::atomic_signal_fence(std::memory_order_seq_cst);
        if (sent % 3 == 0)
            std::this_thread::yield();
    }
    worker.join();
    EXPECT_FALSE(lost) << "after " << taken << " frames";
    EXPECT_EQ(taken, kFrames);
    EXPECT_GT(sleeps, 0U);
}

INSTANTIATE_TEST_SUITE_P(EventIndex, SleepTest, testing::Bool());

}  // namespace
}  // namespace vduse::test
