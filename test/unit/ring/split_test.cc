// SPDX-License-Identifier: BSD-3-Clause

// ring/split.h with an honest driver: positions, wrap, notifications.
#include "ring/split_burst.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <limits>
#include <tuple>
#include <vector>

#include "support/fetch_ledger.h"
#include "support/ring_rig.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

constexpr memory::Iova kBuffers = RingRig::kBuffers;

/// Sends `count` one-buffer chains through the ring, in bursts of `burst`, and checks each.
void pass_chains(RingRig& rig, uint32_t count, uint32_t burst) {
    uint32_t sent = 0;
    uint32_t returned = 0;
    while (returned < count) {
        while (sent < count && rig.driver.free() != 0 && sent - returned < burst) {
            const memory::Iova at = kBuffers + sent % 1000 * 64;
            ASSERT_TRUE(rig.driver.offer({{at, 64, sent % 2 == 0}}));
            ++sent;
        }
        rig.driver.publish();
        const auto chains = rig.peek();
        ASSERT_FALSE(chains.empty());
        std::vector<uint32_t> lengths;
        for (const ring::Chain& chain : chains) {
            const auto number = returned + static_cast<uint32_t>(lengths.size());
            ASSERT_TRUE(chain.good);
            ASSERT_EQ(chain.readable_bytes + chain.writable_bytes, 64U);
            ASSERT_EQ(chain.segments->host, rig.memory.host(kBuffers + number % 1000 * 64));
            lengths.push_back(number);
        }
        rig.ring.complete(lengths);
        while (const auto used = rig.driver.take_used())
            ASSERT_EQ(used->len, returned++) << "lengths come back in order";
    }
    EXPECT_EQ(sent, count);
}

class SplitSizes : public testing::TestWithParam<std::tuple<uint32_t, uint16_t>> {};

TEST_P(SplitSizes, ChainsGoRoundAndRound) {
    const auto [size, start] = GetParam();
    RingRig rig({.size = size, .start = start});
    ASSERT_TRUE(rig.started);
    pass_chains(rig, std::max(3 * size, 300U), 40);
    const auto end = static_cast<uint16_t>(start + std::max(3 * size, 300U));
    EXPECT_EQ(rig.ring.position().avail, end);
    EXPECT_EQ(rig.driver.used_idx(), end);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    SplitSizes,
    testing::Combine(
        testing::Values(
            1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768
        ),
        testing::Values(uint16_t{0}, uint16_t{1}, uint16_t{12345}, uint16_t{65500})
    )
);

TEST(Split, EmptyRingYieldsNothing) {
    RingRig rig;
    EXPECT_TRUE(rig.peek().empty());
    EXPECT_EQ(rig.ring.fault(), ring::RingFault::none);
    EXPECT_FALSE(rig.ring.should_interrupt());
}

TEST(Split, WhatIsNotCompletedIsPeekedAgain) {
    RingRig rig;
    for (uint32_t i = 0; i < 5; ++i)
        rig.driver.offer({{kBuffers + i * 64, 64, false}});
    rig.driver.publish();
    ASSERT_EQ(rig.peek().size(), 5U);
    rig.complete(2);
    EXPECT_EQ(rig.driver.used_idx(), 2);
    const auto again = rig.peek();
    ASSERT_EQ(again.size(), 3U);
    EXPECT_EQ(again[0].segments->host, rig.memory.host(kBuffers + 2 * 64));
}

TEST(Split, CompletionsOfOneBurstMayComeInParts) {
    RingRig rig;
    std::vector<uint16_t> heads;
    for (uint32_t i = 0; i < 4; ++i)
        heads.push_back(*rig.driver.offer({{kBuffers, 64, true}}));
    rig.driver.publish();
    ASSERT_EQ(rig.peek().size(), 4U);
    for (uint32_t i = 0; i < 4; ++i)
        rig.complete(1, 10 + i);
    for (uint16_t i = 0; i < 4; ++i) {
        EXPECT_EQ(rig.driver.used_at(i).id, heads[i]);
        EXPECT_EQ(rig.driver.used_at(i).len, 10U + i);
    }
}

TEST(Split, WaitingIsWhatWasPublishedAndNotCompleted) {
    RingRig rig({.size = 16, .start = 65530});  // the index wraps
    EXPECT_EQ(rig.ring.waiting(), 0U);
    for (uint32_t i = 0; i < 12; ++i)
        rig.driver.offer({{kBuffers, 64, false}});
    EXPECT_EQ(rig.ring.waiting(), 0U) << "offered, not published";
    rig.driver.publish();
    EXPECT_EQ(rig.ring.waiting(), 12U);
    ASSERT_EQ(rig.peek(5).size(), 5U);
    EXPECT_EQ(rig.ring.waiting(), 12U) << "peeked, not completed";
    rig.complete(5);
    EXPECT_EQ(rig.ring.waiting(), 7U);
    ASSERT_EQ(rig.peek().size(), 7U);
    rig.complete(7);
    EXPECT_EQ(rig.ring.waiting(), 0U);
}

TEST(Split, BurstIsBounded) {
    RingRig rig;
    for (uint32_t i = 0; i < 200; ++i)
        rig.driver.offer({{kBuffers, 64, true}});
    rig.driver.publish();
    EXPECT_EQ(rig.peek(7).size(), 7U);
    EXPECT_EQ(rig.peek().size(), size_t{ring::kWindow});
}

TEST(Split, PeekMoreGoesOnWhereThePeekEnded) {
    RingRig rig({.size = 16, .start = 65530});  // ring and index wrap
    const auto offer = [&](uint32_t bytes) {
        rig.driver.offer({{kBuffers, bytes, true}});
        rig.driver.publish();
    };
    for (uint32_t i = 1; i <= 12; ++i)
        offer(i);
    FetchLedger ledger;
    std::array<ring::Chain, ring::kWindow> chains;
    ASSERT_EQ(rig.ring.peek(std::span(chains).first(3)), 3U);
    offer(13);  // after those that the peek found
    ASSERT_EQ(rig.ring.peek_more(std::span(chains).subspan(3, 1)), 1U);
    ASSERT_EQ(rig.ring.peek_more(std::span(chains).subspan(4)), 8U);
    EXPECT_EQ(rig.ring.peek_more(std::span(chains).subspan(12)), 0U);
    for (uint32_t i = 0; i < 12; ++i)
        EXPECT_EQ(chains[i].writable_bytes, i + 1) << "all stay as they were";
    EXPECT_EQ(ledger.twice(), 0U);
    rig.complete(12);
    EXPECT_EQ(rig.ring.peek(std::span(chains)), 1U);
    EXPECT_EQ(chains[0].writable_bytes, 13U);
}

TEST(Split, PeekMoreGoesOnBehindWhatWasCompleted) {
    RingRig rig({.size = 256, .start = 65400});  // ring and index wrap
    std::vector<uint16_t> heads;
    for (uint32_t i = 0; i < 200; ++i)
        heads.push_back(rig.driver.offer({{kBuffers, i + 1, true}}).value());
    rig.driver.publish();
    FetchLedger ledger;
    std::array<ring::Chain, ring::kWindow> chains;
    ASSERT_EQ(rig.ring.peek(chains), ring::kWindow);
    EXPECT_EQ(rig.ring.peek_more(chains), 0U) << "the window is full";
    uint32_t next = ring::kWindow;
    for (uint32_t done = 0; done < 200;) {
        const uint32_t part = std::min(24U, 200 - done);
        rig.complete(part, done);
        done += part;
        const uint16_t more = rig.ring.peek_more(chains);
        ASSERT_EQ(more, std::min(part, 200 - next));
        for (uint32_t i = 0; i < more; ++i)
            EXPECT_EQ(chains[i].writable_bytes, ++next);
    }
    EXPECT_EQ(ledger.twice(), 0U);
    for (uint32_t i = 0; i < 200; ++i) {
        const auto used = rig.driver.take_used();
        ASSERT_TRUE(used);
        EXPECT_EQ(used->id, heads[i]);
        EXPECT_EQ(used->len, i / 24 * 24);
    }
}

TEST(Split, ABadHeadIsFoundBehindWhatWasCompleted) {
    RingRig rig;
    rig.driver.offer({{kBuffers, 64, true}});
    rig.driver.publish();
    rig.driver.push_head(9999);
    std::array<ring::Chain, ring::kWindow> chains;
    ASSERT_EQ(rig.ring.peek(chains), 1U);
    rig.complete(1);
    EXPECT_EQ(rig.ring.peek_more(chains), 0U);
    EXPECT_EQ(rig.ring.fault(), ring::RingFault::none) << "the next call looks at it";
    EXPECT_EQ(rig.ring.peek(chains), 0U);
    EXPECT_EQ(rig.ring.fault(), ring::RingFault::bad_head);
}

TEST(Split, PeekMoreEndsBeforeABadHead) {
    RingRig rig;
    rig.driver.offer({{kBuffers, 64, true}});
    rig.driver.publish();
    rig.driver.push_head(9999);
    std::array<ring::Chain, ring::kWindow> chains;
    ASSERT_EQ(rig.ring.peek(std::span(chains).first(1)), 1U);
    EXPECT_EQ(rig.ring.peek_more(std::span(chains).subspan(1)), 0U);
    EXPECT_EQ(rig.ring.fault(), ring::RingFault::none) << "the good chain can still go back";
    rig.complete(1);
    EXPECT_EQ(rig.ring.peek(std::span(chains)), 0U);
    EXPECT_EQ(rig.ring.fault(), ring::RingFault::bad_head);
}

TEST(Split, SimpleChainsAreShownUpToOneThatIsNot) {
    RingRig rig({.size = 16});
    rig.peeking = RingRig::Peeking::simple_readable;
    for (uint16_t i = 0; i < 8; ++i) {
        rig.driver.write_descriptor(i, {RingRig::kBuffers + 64 * i, 64, 0, 0});
        rig.driver.push_head(i);
    }
    EXPECT_EQ(rig.peek().size(), 8U);
    EXPECT_EQ(rig.simple, 8U);
    EXPECT_EQ(rig.peek(5).size(), 5U);
    EXPECT_EQ(rig.simple, 5U);
    const auto others = std::to_array<ring::Descriptor>({
        {RingRig::kBuffers, 64, ring::kDescNext, 9},   // two buffers
        {RingRig::kBuffers, 64, ring::kDescWrite, 0},  // the other direction
        {RingRig::kBuffers, 0, 0, 0},                  // nothing
        {RingRig::kBuffers, 64, ring::kDescIndirect, 0},
        {RingRig::kBuffers + RingRig::kBufferBytes - 63, 64, 0, 0},  // ends outside
        {RingRig::kBuffers - 1, 64, 0, 0},
        {std::numeric_limits<memory::Iova>::max(), 64, 0, 0},
    });
    for (const ring::Descriptor& other : others) {
        rig.driver.write_descriptor(3, other);
        rig.peek();
        EXPECT_EQ(rig.simple, 3U) << other.addr << ' ' << other.len << ' ' << other.flags;
        EXPECT_EQ(rig.ring.fault(), ring::RingFault::none);
    }
    // Up to the last byte of a region.
    rig.driver.write_descriptor(3, {RingRig::kBuffers + RingRig::kBufferBytes - 64, 64, 0, 0});
    rig.peek();
    EXPECT_EQ(rig.simple, 8U);
}

TEST(Split, IdleIsWhenAPeekWouldFindNothing) {
    RingRig rig({.size = 16});
    EXPECT_TRUE(rig.ring.idle());
    rig.driver.write_descriptor(0, {RingRig::kBuffers, 64, 0, 0});
    rig.driver.push_head(0);
    EXPECT_FALSE(rig.ring.idle());
    ASSERT_EQ(rig.peek().size(), 1U);
    EXPECT_FALSE(rig.ring.idle()) << "a peek takes nothing";
    rig.complete(1);
    EXPECT_TRUE(rig.ring.idle());
    rig.driver.write_avail_idx(100);
    EXPECT_TRUE(rig.peek().empty());
    rig.driver.write_avail_idx(rig.ring.position().avail);
    EXPECT_FALSE(rig.ring.idle()) << "control must still be told of the fault";
}

TEST(Split, AMissIsForgottenWhenTheDriverTakesTheChainBack) {
    RingRig rig({.size = 16});
    rig.driver.write_descriptor(0, {0x7777'0000, 64, 0, 0});
    rig.driver.push_head(0);
    EXPECT_TRUE(rig.peek().empty());
    ASSERT_TRUE(rig.ring.miss());
    rig.driver.write_avail_idx(0);
    EXPECT_FALSE(rig.ring.idle());
    EXPECT_TRUE(rig.peek().empty());
    EXPECT_FALSE(rig.ring.miss());
    EXPECT_TRUE(rig.ring.idle());
}

TEST(Split, SimpleChainsMayBeInSeveralRegions) {
    RingRig rig({.size = 16});
    rig.peeking = RingRig::Peeking::simple_writable;
    constexpr memory::Iova kOther = 0x7000'0000;
    constexpr memory::Iova kReadOnly = 0x7100'0000;
    rig.memory.add_bytes(kOther, 4096);
    rig.memory.add_bytes(kReadOnly, 4096, kRead);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    for (uint16_t i = 0; i < 8; ++i) {
        const memory::Iova at = (i % 2 != 0 ? kOther : RingRig::kBuffers) + 64 * i;
        rig.driver.write_descriptor(i, {at, 64, ring::kDescWrite, 0});
        rig.driver.push_head(i);
    }
    const auto chains = rig.peek();
    ASSERT_EQ(rig.simple, 8U);
    for (uint16_t i = 0; i < 8; ++i)
        EXPECT_EQ(
            chains[i].writable()[0].host, rig.memory.host(rig.driver.read_descriptor(i).addr)
        );
    rig.driver.write_descriptor(5, {kReadOnly, 64, ring::kDescWrite, 0});
    rig.peek();
    EXPECT_EQ(rig.simple, 5U) << "no store to what is read-only";
    EXPECT_FALSE(rig.chains[5].good);
}

TEST(Split, ReadableThenWritableSegments) {
    RingRig rig;
    rig.driver.offer(
        {{kBuffers, 12, false}, {kBuffers + 100, 60, false}, {kBuffers + 4096, 1, true}}
    );
    rig.driver.publish();
    const auto chains = rig.peek();
    ASSERT_EQ(chains.size(), 1U);
    ASSERT_EQ(chains[0].readable().size(), 2U);
    ASSERT_EQ(chains[0].writable().size(), 1U);
    EXPECT_EQ(chains[0].readable_bytes, 72U);
    EXPECT_EQ(chains[0].writable_bytes, 1U);
    EXPECT_EQ(chains[0].readable()[1].host, rig.memory.host(kBuffers + 100));
    EXPECT_EQ(chains[0].writable()[0].host, rig.memory.host(kBuffers + 4096));
}

TEST(Split, IndirectTableBehindDirectDescriptors) {
    RingRig rig;
    // 2.7.5.3.1: normal descriptors may come before one that refers to a table.
    const AddressPair table = rig.memory.add_bytes(0x900000, 32, kRead);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    rig.memory.store(table.iova, ring::Descriptor{kBuffers + 64, 64, ring::kDescNext, 1});
    rig.memory.store(table.iova + 16, ring::Descriptor{kBuffers + 128, 64, ring::kDescWrite, 0});
    rig.driver.write_descriptor(9, {kBuffers, 64, ring::kDescNext, 4});
    // The WRITE flag of a descriptor that refers to a table is ignored.
    constexpr uint16_t kFlags = ring::kDescIndirect | ring::kDescWrite;
    rig.driver.write_descriptor(4, {table.iova, 32, kFlags, 0});
    rig.driver.push_head(9);
    FetchLedger ledger;
    const auto chains = rig.peek();
    ASSERT_EQ(chains.size(), 1U);
    ASSERT_TRUE(chains[0].good);
    EXPECT_EQ(chains[0].readable().size(), 2U);
    EXPECT_EQ(chains[0].writable().size(), 1U);
    EXPECT_EQ(ledger.twice(), 0U);
}

TEST(Split, NoByteIsFetchedTwice) {
    RingRig rig({.size = 64, .start = 65530});
    const AddressPair tables = rig.memory.add_bytes(0x900000, 0x4000, kRead);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    for (uint32_t i = 0; i < 30; ++i) {
        const Buffer readable{kBuffers + i * 256, 128, false};
        const Buffer writable{kBuffers + i * 256 + 128, 128, true};
        if (i % 2 == 0)
            rig.driver.offer({readable, writable});
        else
            rig.driver.offer_indirect(
                {readable, writable}, {tables.host + i * 32, tables.iova + i * 32}
            );
    }
    rig.driver.publish();
    FetchLedger ledger;
    EXPECT_EQ(rig.peek().size(), 30U);
    EXPECT_EQ(ledger.twice(), 0U);
    EXPECT_EQ(ledger.bytes(), 2 + 30 * 2 + 15 * 2 * 16 + 15 * 3 * 16U);
    ledger.begin();
    rig.complete(30);
    rig.ring.should_interrupt();
    rig.ring.refuse_kicks();
    EXPECT_EQ(ledger.fetches(), 0U) << "our own ring is written, never read back";
}

TEST(Split, FetchesNothingBehindTheAvailIndex) {
    RingRig rig;
    rig.driver.offer({{kBuffers, 64, false}});
    rig.driver.publish();
    rig.driver.write_avail(1, 77);
    FetchLedger ledger;
    EXPECT_EQ(rig.peek().size(), 1U);
    EXPECT_FALSE(ledger.touched(rig.driver.areas().avail.host + ring::kRingOffset + 2, 2));
    EXPECT_FALSE(ledger.touched(rig.driver.descriptor_at(77), 16));
}

// ---- starting

TEST(SplitStart, AnyIndexThatTheUsedIndexCanBelongTo) {
    RingRig rig({.size = 16});
    for (unsigned used = 0; used < 65536; used += 97) {
        rig.driver.write_used_idx(static_cast<uint16_t>(used));
        EXPECT_TRUE(rig.ring.restart({.avail = static_cast<uint16_t>(used)}));
        EXPECT_TRUE(rig.ring.restart({.avail = static_cast<uint16_t>(used + 16)}));
        EXPECT_FALSE(rig.ring.restart({.avail = static_cast<uint16_t>(used + 17)}));
        EXPECT_FALSE(rig.ring.restart({.avail = static_cast<uint16_t>(used - 1)}));
    }
}

TEST(SplitStart, LoadKeepsPositions) {
    RingRig rig({.start = 7});
    pass_chains(rig, 10, 4);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    EXPECT_EQ(rig.ring.position().avail, 17);
    pass_chains(rig, 10, 4);
}

TEST(SplitStart, LoadRefusesSizesThatAreNone) {
    RingRig rig;
    ring::Layout layout = rig.driver.layout();
    for (const uint32_t size : {0U, 3U, 255U, 257U, 32767U, 32769U, 65535U, 65536U}) {
        layout.size = size;
        EXPECT_EQ(rig.ring.load(rig.memory.table(), layout, rig.options), ring::LoadError::bad_size)
            << size;
    }
}

TEST(SplitStart, EventIndexFieldsAreUsedOnlyWhenNegotiated) {
    // The regions end where a ring without the event index ends: two bytes more would trap.
    RingRig rig({.size = 4, .event_idx = false});
    pass_chains(rig, 20, 4);
    rig.ring.refuse_kicks();
    rig.ring.request_kick();
    rig.ring.should_interrupt();
    rig.options.event_idx = true;
    EXPECT_EQ(rig.reload(), ring::LoadError::unmapped);
}

// ---- interrupts

class SplitInterrupts : public testing::Test {
  protected:
    /// Passes `count` chains. Returns whether the driver must be interrupted.
    static bool after(RingRig& rig, uint32_t count) {
        pass_chains(rig, count, count);
        return rig.ring.should_interrupt();
    }
};

TEST_F(SplitInterrupts, FirstCompletionAfterAStartAlwaysInterrupts) {
    for (const bool event_idx : {false, true}) {
        RingRig rig({.event_idx = event_idx});
        rig.driver.want_interrupts(false);
        EXPECT_TRUE(after(rig, 1));
        EXPECT_FALSE(after(rig, 1));
        EXPECT_TRUE(rig.ring.restart({.avail = 2}));
        EXPECT_FALSE(rig.ring.should_interrupt()) << "nothing was completed";
        EXPECT_TRUE(after(rig, 1));
    }
}

TEST_F(SplitInterrupts, FlagsDecideWithoutTheEventIndex) {
    RingRig rig;
    after(rig, 1);
    EXPECT_TRUE(after(rig, 1));
    EXPECT_FALSE(rig.ring.should_interrupt()) << "once for each completion";
    rig.driver.want_interrupts(false);
    EXPECT_FALSE(after(rig, 3));
    rig.driver.want_interrupts(true);
    EXPECT_TRUE(after(rig, 1));
}

TEST_F(SplitInterrupts, EventIndexDecides) {
    for (const uint16_t start : {uint16_t{0}, uint16_t{65533}}) {
        RingRig rig({.event_idx = true, .start = start});
        after(rig, 1);
        const auto at = [&](int offset) { return static_cast<uint16_t>(start + offset); };
        rig.driver.set_used_event(at(3));
        EXPECT_FALSE(after(rig, 2)) << "1, 2";
        EXPECT_TRUE(after(rig, 1)) << "3";
        EXPECT_FALSE(after(rig, 10)) << "not set again";
        rig.driver.set_used_event(at(20));
        EXPECT_TRUE(after(rig, 30)) << "passed within the burst";
    }
}

// Case 75: a frozen or chasing used_event costs at most one interrupt per check.
TEST_F(SplitInterrupts, Case75_AtMostOneInterruptPerBurst) {
    RingRig rig({.event_idx = true});
    for (uint16_t event = 0; event < 1000; ++event) {
        rig.driver.set_used_event(event);
        after(rig, 2);
        EXPECT_FALSE(rig.ring.should_interrupt());
    }
}

// ---- kicks

TEST(SplitKicks, DriverIsToldNotToKickAndToKick) {
    for (const bool event_idx : {false, true}) {
        RingRig rig({.event_idx = event_idx, .start = 65535});
        const auto offer = [&] {
            rig.driver.offer({{kBuffers, 64, false}});
            return rig.driver.publish();
        };
        rig.ring.refuse_kicks();
        EXPECT_FALSE(offer());
        EXPECT_FALSE(offer());
        EXPECT_EQ(rig.peek().size(), 2U);
        rig.complete(2);
        EXPECT_FALSE(rig.ring.request_kick());
        EXPECT_TRUE(offer()) << "event_idx " << event_idx;
    }
}

TEST(SplitKicks, RequestTellsWhatArrivedMeanwhile) {
    for (const bool event_idx : {false, true}) {
        RingRig rig({.event_idx = event_idx});
        rig.ring.refuse_kicks();
        EXPECT_FALSE(rig.ring.request_kick());
        rig.driver.offer({{kBuffers, 64, false}});
        rig.driver.publish();
        EXPECT_TRUE(rig.ring.request_kick());
        rig.peek();
        rig.complete(1);
        EXPECT_FALSE(rig.ring.request_kick());
    }
}

}  // namespace
}  // namespace vduse::test
