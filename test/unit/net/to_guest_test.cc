// SPDX-License-Identifier: BSD-3-Clause

// net/to_guest.h: mbufs become frames in the driver's buffers.
#include "net/to_guest.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/counter.h"
#include "support/eal.h"
#include "support/fetch_ledger.h"
#include "support/ring_rig.h"
#include "vduse/drop.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

using memory::Iova;
using net::NetHeader;

constexpr uint32_t kLongest = 9720;
constexpr Iova kStart = RingRig::kBuffers;
constexpr Iova kEnd = RingRig::kBuffers + RingRig::kBufferBytes;
constexpr uint8_t kUntouched = 0xee;

constexpr uint16_t kFrames = 32;       ///< frames per burst
constexpr uint32_t kLong = 65536;      ///< bytes of a long frame
constexpr uint32_t kRoom = 1500;       ///< bytes of a buffer
constexpr uint16_t kBuffersEach = 44;  ///< buffers for a long frame
constexpr Iova kMany = 0x1000'0000;    ///< where the buffers are
constexpr uint32_t kBudget = 64 * 44;  ///< most descriptors that one burst may use

class ToGuest : public testing::Test {
  protected:
    RingRig rig;
    Pool pool{512};
    net::QueueCounters counters;
    net::Filter filter;
    net::QueueRules rules{kLongest, false, &filter};
    FetchLedger ledger;
    Iova next_ = kStart;

    ToGuest() { std::memset(rig.memory.host(kStart), kUntouched, RingRig::kBufferBytes); }

    /// Replaces the rig with one of ring size `size`.
    void setup(uint32_t size) {
        std::destroy_at(&rig);
        std::construct_at(&rig, RingRig::Setup{.size = size});
        std::memset(rig.memory.host(kStart), kUntouched, RingRig::kBufferBytes);
        next_ = kStart;
    }
    /// Offers one chain of writable descriptors of the given sizes. Returns its start address.
    Iova offer(const std::vector<uint32_t>& sizes) {
        const Iova start = next_;
        std::vector<Buffer> buffers;
        for (const uint32_t size : sizes) {
            buffers.push_back({next_, size, true});
            next_ += size + 16;  // a gap that must stay untouched
        }
        EXPECT_TRUE(rig.driver.offer(buffers));
        rig.driver.publish();
        return start;
    }
    void offer_many(size_t count, uint32_t bytes) {
        for (size_t i = 0; i < count; ++i)
            offer({bytes});
    }
    /// Gives frames to the ring and frees those that it does not take. Returns how many it takes.
    size_t deliver(const std::vector<rte_mbuf*>& frames) {
        ledger.begin();
        const uint16_t done = net::to_guest(rig.ring, rules, std::span(frames), counters);
        EXPECT_EQ(ledger.twice(), 0U);
        EXPECT_FALSE(ledger.touched(rig.memory.host(kStart), RingRig::kBufferBytes))
            << "guest memory is written, never read";
        for (size_t i = done; i < frames.size(); ++i)
            rte_pktmbuf_free(frames[i]);
        EXPECT_EQ(pool.in_use(), 0U);
        return done;
    }
    [[nodiscard]] std::vector<uint8_t> bytes_at(Iova at, size_t count) const {
        std::vector<uint8_t> bytes(count);
        rig.memory.read(at, bytes.data(), count);
        return bytes;
    }
    [[nodiscard]] uint64_t drops(Drop reason) const {
        return counters.drops[static_cast<size_t>(reason)].read();
    }
    static std::vector<uint8_t> header(uint16_t buffers) {
        std::vector<uint8_t> bytes(12, 0);
        bytes[10] = static_cast<uint8_t>(buffers);
        bytes[11] = static_cast<uint8_t>(buffers >> 8);
        return bytes;
    }
};

TEST_F(ToGuest, FramesOfAllSizesFillTheirBuffer) {
    for (const size_t bytes :
         std::initializer_list<size_t>{14, 60, 64, 1514, 2048, 2049, 4096, 9720}) {
        for (const size_t run : {size_t{2048}, size_t{100}}) {
            const auto frame = pattern(bytes);
            const auto total = static_cast<uint32_t>(12 + bytes);
            rig.driver.offer({{kEnd - total, total, true}});  // one byte further traps
            rig.driver.publish();
            ASSERT_EQ(deliver({pool.frame(frame, run)}), 1U);
            EXPECT_EQ(rig.driver.take_used()->len, total);
            EXPECT_EQ(bytes_at(kEnd - total, 12), header(1));
            EXPECT_EQ(bytes_at(kEnd - total + 12, bytes), frame) << bytes << " by " << run;
        }
    }
    EXPECT_EQ(counters.frames.read(), 16U);
}

// Case 150: only header and frame are written, and used.len is their exact length.
TEST_F(ToGuest, Case150_NoStaleBytes) {
    const Iova at = offer({2048});
    ASSERT_EQ(deliver({pool.frame(pattern(60))}), 1U);
    EXPECT_EQ(rig.driver.take_used()->len, 72U);
    EXPECT_EQ(bytes_at(at + 72, 2048 - 72), std::vector<uint8_t>(2048 - 72, kUntouched));
}

TEST_F(ToGuest, FrameOverDescriptors) {
    const auto frame = pattern(60);
    for (const auto& sizes : std::vector<std::vector<uint32_t>>{
             {12, 60}, {1, 71}, {6, 6, 30, 30}, {11, 2, 59}, std::vector<uint32_t>(72, 1)}) {
        Iova at = offer(sizes);
        ASSERT_EQ(deliver({pool.frame(frame, 7)}), 1U);
        EXPECT_EQ(rig.driver.take_used()->len, 72U);
        std::vector<uint8_t> got;
        for (const uint32_t size : sizes) {
            const auto part = bytes_at(at, size);
            got.insert(got.end(), part.begin(), part.end());
            EXPECT_EQ(bytes_at(at + size, 16), std::vector<uint8_t>(16, kUntouched));
            at += size + 16;
        }
        auto expected = header(1);
        expected.insert(expected.end(), frame.begin(), frame.end());
        EXPECT_EQ(got, expected);
    }
}

TEST_F(ToGuest, MergeableOverManyBuffers) {
    rules.mergeable = true;
    for (const size_t bytes : std::initializer_list<size_t>{14, 188, 189, 1514, 9720}) {
        const auto frame = pattern(bytes);
        const size_t count = (12 + bytes + 199) / 200;
        const Iova at = next_;
        offer_many(count, 200);
        ASSERT_EQ(deliver({pool.frame(frame)}), 1U) << bytes;
        EXPECT_EQ(bytes_at(at, 12), header(static_cast<uint16_t>(count)));
        std::vector<uint8_t> got;
        for (size_t i = 0; i < count; ++i) {
            const auto used = rig.driver.take_used();
            ASSERT_TRUE(used);
            EXPECT_EQ(used->len, i + 1 < count ? 200U : 12 + bytes - 200 * (count - 1));
            const auto part = bytes_at(at + i * 216, used->len);
            got.insert(got.end(), part.begin(), part.end());
            EXPECT_EQ(bytes_at(at + i * 216 + 200, 16), std::vector<uint8_t>(16, kUntouched));
        }
        EXPECT_EQ(std::vector<uint8_t>(got.begin() + 12, got.end()), frame);
        EXPECT_EQ(rig.driver.take_used(), std::nullopt);
    }
}

TEST_F(ToGuest, MergeableFirstBufferHasRoomForTheHeaderOnly) {
    rules.mergeable = true;
    offer({12});
    const Iova at = offer({60});
    ASSERT_EQ(deliver({pool.frame(pattern(60))}), 1U);
    EXPECT_EQ(rig.driver.take_used()->len, 12U);
    EXPECT_EQ(rig.driver.take_used()->len, 60U);
    EXPECT_EQ(bytes_at(at, 60), pattern(60));
}

TEST_F(ToGuest, MergeableUsesOneBufferWhereOneIsEnough) {
    rules.mergeable = true;
    offer_many(3, 2048);
    ASSERT_EQ(deliver({pool.frame(pattern(60)), pool.frame(pattern(61))}), 2U);
    EXPECT_EQ(rig.driver.take_used()->len, 72U);
    EXPECT_EQ(rig.driver.take_used()->len, 73U);
    EXPECT_EQ(rig.driver.take_used(), std::nullopt);
}

TEST_F(ToGuest, NoBuffersNoLoss) {
    EXPECT_EQ(deliver({pool.frame(pattern(60))}), 0U);
    offer({2048});
    EXPECT_EQ(deliver({pool.frame(pattern(60)), pool.frame(pattern(60))}), 1U);
    EXPECT_EQ(counters.frames.read(), 1U);
    for (const Counter& drop : counters.drops)
        EXPECT_EQ(drop.read(), 0U);
}

TEST_F(ToGuest, MergeableWaitsForMoreBuffers) {
    rules.mergeable = true;
    offer_many(3, 200);
    EXPECT_EQ(deliver({pool.frame(pattern(1000))}), 0U);
    EXPECT_EQ(rig.driver.used_idx(), 0);
    offer_many(3, 200);
    EXPECT_EQ(deliver({pool.frame(pattern(1000))}), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 6);
}

TEST_F(ToGuest, TooLargeForABufferWithoutMergeable) {
    offer({1000});
    EXPECT_EQ(deliver({pool.frame(pattern(1500)), pool.frame(pattern(900))}), 2U);
    EXPECT_EQ(drops(Drop::no_room), 1U);
    EXPECT_EQ(rig.driver.take_used()->len, 912U);
}

TEST_F(ToGuest, FrameLengthsAndFilter) {
    filter.promiscuous = false;
    filter.mac = {2, 0, 0, 0, 0, 1};
    offer_many(4, 12 + kLongest);
    auto mine = pattern(60);
    std::copy(filter.mac.begin(), filter.mac.end(), mine.begin());
    auto longest = mine;
    longest.resize(kLongest);
    auto too_long = mine;
    too_long.resize(kLongest + 1);
    auto other = mine;
    other[5] = 9;
    EXPECT_EQ(
        deliver(
            {pool.frame(pattern(13)),
             pool.frame(too_long),
             pool.frame(longest),
             pool.frame(other),
             pool.frame(mine)}
        ),
        5U
    );
    EXPECT_EQ(drops(Drop::too_short), 1U);
    EXPECT_EQ(drops(Drop::too_long), 1U);
    EXPECT_EQ(drops(Drop::filtered), 1U);
    EXPECT_EQ(counters.frames.read(), 2U);
    EXPECT_EQ(counters.bytes.read(), kLongest + 60U);
}

// A burst has at most 64 frames and a ring's window 64 chains, so long frames need many windows.
class LongFrames : public ToGuest {
  protected:
    Pool long_pool{kFrames * (kLong / MbufPool::kRoom) + 64};

    LongFrames() {
        setup(4096);
        rig.memory.add_bytes(kMany, 0x40'0000);
        EXPECT_EQ(rig.reload(), ring::LoadError::none);
        next_ = kMany;
        rules = {kLong, true, &filter};
    }
    static std::vector<uint8_t> frame(unsigned number) { return pattern(kLong, number); }
    /// Every `some`-th frame is long, the others short.
    size_t deliver_burst(unsigned some = 1) {
        std::vector<rte_mbuf*> frames;
        for (unsigned i = 0; i < kFrames; ++i)
            frames.push_back(
                i % some == 0 ? long_pool.frame(frame(i)) : pool.frame(pattern(60, i))
            );
        const size_t done = deliver(frames);
        EXPECT_EQ(long_pool.in_use(), 0U);
        return done;
    }
    /// The driver takes a frame, in as many buffers as its header says.
    std::vector<uint8_t> take() {
        std::vector<uint8_t> bytes;
        uint16_t left = 1;
        for (bool first = true; left != 0; --left) {
            const auto used = rig.driver.take_used();
            if (!used)
                return {};
            const auto part = bytes_at(kMany + Iova{taken_++} * (kRoom + 16), used->len);
            if (std::exchange(first, false))
                left = static_cast<uint16_t>(part[10] | part[11] << 8);
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        return {bytes.begin() + 12, bytes.end()};
    }

  private:
    unsigned taken_ = 0;
};

TEST_F(LongFrames, ABurstGoesThroughManyWindows) {
    offer_many(kFrames * kBuffersEach, kRoom);
    ASSERT_EQ(deliver_burst(), size_t{kFrames}) << "and nothing was fetched twice";
    EXPECT_EQ(rig.driver.used_idx(), kFrames * kBuffersEach);
    for (unsigned i = 0; i < kFrames; ++i)
        ASSERT_EQ(take(), frame(i)) << i;
    EXPECT_EQ(counters.frames.read(), kFrames);
    EXPECT_EQ(counters.bytes.read(), uint64_t{kFrames} * kLong);
    EXPECT_EQ(counters.no_buffer.read(), 0U);
}

TEST_F(LongFrames, ShortOnesBetween) {
    offer_many(2000, kRoom);
    ASSERT_EQ(deliver_burst(3), size_t{kFrames});
    for (unsigned i = 0; i < kFrames; ++i)
        ASSERT_EQ(take(), i % 3 == 0 ? frame(i) : pattern(60, i)) << i;
}

TEST_F(LongFrames, OnlyWholeFramesWhereBuffersEnd) {
    for (const unsigned whole : {10U, 32U}) {
        const auto before = rig.driver.used_idx();
        offer_many((whole - (before != 0 ? 1 : 0)) * kBuffersEach + (before != 0 ? 24 : 20), kRoom);
        ASSERT_EQ(deliver_burst(), whole);
        EXPECT_EQ(rig.driver.used_idx() - before, whole * kBuffersEach);
        for (unsigned i = 0; i < whole; ++i)
            ASSERT_EQ(take(), frame(i)) << i;
        EXPECT_EQ(rig.driver.take_used(), std::nullopt);
    }
    EXPECT_EQ(counters.no_buffer.read(), 1U);
}

// Case 68: an endless supply of tiny buffers.
TEST_F(LongFrames, Case68_EndlessTinyBuffers) {
    for (const uint32_t bytes : {1U, 11U, 12U, 40U}) {
        setup(32768);
        for (int i = 0; i < 32768; ++i)
            rig.driver.offer({{kStart, bytes, true}});
        rig.driver.publish();
        deliver_burst();
        EXPECT_LE(rig.driver.used_idx(), kBudget) << bytes;
        EXPECT_LE(ledger.fetches(), kBudget + kBudget / 16) << "descriptors, and runs of heads";
    }
    EXPECT_EQ(counters.frames.read(), 0U);
    EXPECT_EQ(drops(Drop::no_room), 2U * kFrames) << "64 chains each, of those that have room";
}

TEST_F(ToGuest, ABurstIsBounded) {
    offer_many(200, 100);
    std::vector<rte_mbuf*> frames;
    for (unsigned i = 0; i < 100; ++i)
        frames.push_back(pool.frame(pattern(60, i)));
    EXPECT_EQ(deliver(frames), size_t{kMaxBurst});
}

// Case 23: chains of the other direction hold nothing and must not block the ring.
TEST_F(ToGuest, Case23_ReadableOnly) {
    rig.driver.offer({{kStart, 2048, false}});
    offer({2048});
    EXPECT_EQ(deliver({pool.frame(pattern(60))}), 1U);
    EXPECT_EQ(drops(Drop::too_short), 1U);
    EXPECT_EQ(rig.driver.take_used()->len, 0U);
    EXPECT_EQ(rig.driver.take_used()->len, 72U);
}

TEST_F(ToGuest, MalformedChainsGoBack) {
    rig.driver.offer({{kStart, 64, true}, {kStart, 64, false}});
    offer({2048});
    EXPECT_EQ(deliver({pool.frame(pattern(60))}), 1U);
    EXPECT_EQ(drops(Drop::malformed), 1U);
    EXPECT_EQ(rig.driver.take_used()->len, 0U);
    EXPECT_EQ(rig.driver.take_used()->len, 72U);
}

// Case 68: buffers of a few bytes for a long frame. Gathering is bounded, and the buffers return.
TEST_F(ToGuest, Case68_TinyBuffers) {
    for (const uint32_t bytes : {1U, 11U}) {
        setup(256);
        rules.mergeable = true;
        offer_many(100, bytes);
        EXPECT_EQ(deliver({pool.frame(pattern(1500))}), 0U);
        EXPECT_EQ(rig.driver.used_idx(), 100) << "no use for them, whatever comes";
    }
    for (const uint32_t bytes : {12U, 20U}) {
        setup(256);
        offer_many(100, bytes);
        EXPECT_EQ(deliver({pool.frame(pattern(1500))}), 1U);
        EXPECT_EQ(rig.driver.used_idx(), 64);
        for (uint16_t i = 0; i < 64; ++i)
            EXPECT_EQ(rig.driver.used_at(i).len, 0U);
    }
    EXPECT_EQ(drops(Drop::no_room), 2U);
}

// The driver has offered all that its ring can hold, and it is not enough. No more can come.
TEST_F(ToGuest, Case68_AFullRingThatIsTooSmall) {
    setup(4);
    rules.mergeable = true;
    offer_many(4, 100);
    EXPECT_EQ(deliver({pool.frame(pattern(1500))}), 1U) << "waiting would block the queue for ever";
    EXPECT_EQ(drops(Drop::no_room), 1U);
}

TEST_F(ToGuest, Case68_AFullRingOfLongChainsThatIsTooSmall) {
    setup(8);
    rules.mergeable = true;
    offer({100, 100, 100});
    offer({100, 100, 100});
    EXPECT_EQ(deliver({pool.frame(pattern(1500))}), 1U) << "two descriptors are no third chain";
    EXPECT_EQ(drops(Drop::no_room), 1U);
    setup(16);
    offer({100, 100, 100});
    offer({100, 100, 100});
    EXPECT_EQ(deliver({pool.frame(pattern(1500))}), 0U) << "three more can come";
}

// Case 69: the header does not fit into the first buffer.
TEST_F(ToGuest, Case69_HeaderDoesNotFit) {
    for (const bool mergeable : {false, true}) {
        setup(256);
        rules.mergeable = mergeable;
        const Iova at = offer({10});
        offer({2048});
        EXPECT_EQ(deliver({pool.frame(pattern(60))}), 1U);
        EXPECT_EQ(rig.driver.take_used()->len, 0U);
        EXPECT_EQ(rig.driver.take_used()->len, 72U);
        EXPECT_EQ(bytes_at(at, 10), std::vector<uint8_t>(10, kUntouched));
    }
}

// Case 70: one chain in the middle of a frame is unusable.
TEST_F(ToGuest, Case70_UselessChainInTheMiddle) {
    rules.mergeable = true;
    offer({200});
    rig.driver.offer({{kStart, 200, false}});
    rig.driver.publish();
    offer_many(10, 200);
    EXPECT_EQ(deliver({pool.frame(pattern(1000)), pool.frame(pattern(1000))}), 2U);
    uint32_t sum = 0;
    uint32_t buffers = 0;
    while (const auto used = rig.driver.take_used()) {
        sum += used->len;
        buffers += used->len != 0 ? 1 : 0;
    }
    EXPECT_EQ(counters.frames.read() + drops(Drop::no_room), 2U);
    EXPECT_EQ(sum, counters.frames.read() * 1012) << "used lengths are those of whole frames";
    EXPECT_EQ(buffers, counters.frames.read() * 6);
}

}  // namespace
}  // namespace vduse::test
