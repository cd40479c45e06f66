// SPDX-License-Identifier: BSD-3-Clause

// A second ring that is not a virtqueue: chains over plain buffers. The bursts of net/ may use
// rings only through the concept ring::DeviceRing. If they use more, this file does not compile.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "net/filter.h"
#include "net/from_guest.h"
#include "net/to_guest.h"
#include "ring/chain.h"
#include "support/eal.h"

namespace vduse::test {
namespace {

class FakeRing {
  public:
    FakeRing(size_t buffers, uint32_t bytes, bool writable)
        : memory_(buffers * bytes), writable_(writable) {
        for (size_t i = 0; i < buffers; ++i)
            segments_.push_back({memory_.data() + i * bytes, bytes});
    }
    uint16_t peek(std::span<ring::Chain> chains) noexcept {
        peeked_ = lengths.size();
        return peek_more(chains);
    }
    template <memory::Access access>
    ring::Simple peek_simple(std::span<ring::Segment> buffers) noexcept {
        peeked_ = lengths.size();
        const bool right = writable_ == (access == memory::Access::write);
        const auto most =
            right ? std::min({buffers.size(), most_simple, segments_.size() - peeked_}) : 0;
        std::copy_n(segments_.begin() + static_cast<ptrdiff_t>(peeked_), most, buffers.begin());
        peeked_ += most;
        return {static_cast<uint16_t>(most), peeked_ < segments_.size()};
    }
    uint16_t peek_more(std::span<ring::Chain> chains) noexcept {
        uint16_t count = 0;
        for (; count < chains.size() && peeked_ < segments_.size(); ++count) {
            const ring::Segment& segment = segments_[peeked_++];
            chains[count] =
                ring::Chain::of(segment, writable_ ? memory::Access::write : memory::Access::read);
        }
        return count;
    }
    void complete(std::span<const uint32_t> done) noexcept {
        lengths.insert(lengths.end(), done.begin(), done.end());
    }
    bool should_interrupt() noexcept { return false; }
    [[nodiscard]] uint32_t size() const noexcept { return static_cast<uint32_t>(segments_.size()); }

    [[nodiscard]] std::byte* buffer(size_t i) const { return segments_[i].host; }
    std::vector<uint32_t> lengths;  ///< used lengths of completed chains
    size_t most_simple = 64;        ///< of a call; the others are shown by peek_more

  private:
    std::vector<std::byte> memory_;
    std::vector<ring::Segment> segments_;
    bool writable_;
    size_t peeked_ = 0;
};
static_assert(ring::DeviceRing<FakeRing>);

class FakeRingTest : public testing::TestWithParam<size_t> {};

TEST_P(FakeRingTest, GivesFrames) {
    FakeRing ring(3, 72, false);
    ring.most_simple = GetParam();
    for (size_t i = 0; i < 3; ++i)
        std::memset(ring.buffer(i) + net::kHeaderBytes, 'a' + static_cast<int>(i), 60);
    Pool pool(16);
    net::QueueCounters counters;
    std::array<rte_mbuf*, 8> frames{};
    ASSERT_EQ(net::from_guest(ring, pool.get(), {1514}, frames, counters), 3U);
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(content(frames[i]), std::vector<uint8_t>(60, static_cast<uint8_t>('a' + i)));
        rte_pktmbuf_free(frames[i]);
    }
    EXPECT_EQ(ring.lengths, std::vector<uint32_t>(3));
    EXPECT_EQ(net::from_guest(ring, pool.get(), {1514}, frames, counters), 0U);
    EXPECT_EQ(counters.bytes.read(), 180U);
}

TEST_P(FakeRingTest, TakesAFrameInTwoBuffers) {
    FakeRing ring(4, 72, true);
    ring.most_simple = GetParam();
    Pool pool(16);
    const net::Filter filter;
    net::QueueCounters counters;
    std::vector<uint8_t> bytes(100);
    std::iota(bytes.begin(), bytes.end(), uint8_t{0});
    rte_mbuf* const frame = pool.frame(bytes);
    ASSERT_EQ(net::to_guest(ring, {1514, true, &filter}, std::span(&frame, 1), counters), 1U);
    EXPECT_EQ(ring.lengths, (std::vector<uint32_t>{72, 40}));
    EXPECT_EQ(std::memcmp(ring.buffer(0) + net::kHeaderBytes, bytes.data(), 60), 0);
    EXPECT_EQ(std::memcmp(ring.buffer(1), bytes.data() + 60, 40), 0);
    EXPECT_EQ(static_cast<int>(ring.buffer(0)[10]), 2) << "num_buffers";
    EXPECT_EQ(pool.in_use(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Simple, FakeRingTest, testing::Values(0, 1, 2, 64));

}  // namespace
}  // namespace vduse::test
