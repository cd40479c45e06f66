// SPDX-License-Identifier: BSD-3-Clause

// Hostile drivers against the split ring: cases 1 to 36, 146 and the races 47 to 54 of
// doc/hostile-cases.md, as far as they concern the ring.
//
// - DROP: the chain is not good, has no segments, and its head returns with length 0.
// - QUAR: the ring faults and is not read again until it is loaded.
//
// Every peek runs under the fetch ledger. Rings and buffers end at pages that trap.
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

#include "ring/split_burst.h"
#include "support/fetch_ledger.h"
#include "support/ring_rig.h"

namespace vduse::test {
namespace {

using memory::Iova;
using ring::Descriptor;
using ring::kDescIndirect;
using ring::kDescNext;
using ring::kDescWrite;
using ring::LoadError;
using ring::RingFault;

constexpr Iova kBuffers = RingRig::kBuffers;
constexpr Iova kTable = 0x90'0000;  ///< where tests put indirect tables
constexpr Iova kNowhere = 0x7777'0000;
constexpr Iova kTop = std::numeric_limits<Iova>::max();

class HostileRing : public testing::TestWithParam<RingRig::Peeking> {
  protected:
    /// Chains have at most 16 descriptors here, so that loops and long chains can be told apart.
    RingRig rig{{.size = 16}};
    FetchLedger ledger;

    HostileRing() { rig.peeking = GetParam(); }

    void setup(const RingRig::Setup& setup) {
        std::destroy_at(&rig);
        std::construct_at(&rig, setup);
        rig.peeking = GetParam();
    }
    std::span<const ring::Chain> peek() {
        ledger.begin();
        return rig.peek();
    }
    /// Writes `descriptors` to indexes 0, 1, ... and offers head 0.
    void push(std::initializer_list<Descriptor> descriptors) {
        uint16_t index = 0;
        for (const Descriptor& descriptor : descriptors)
            rig.driver.write_descriptor(index++, descriptor);
        rig.driver.push_head(0);
    }
    /// Writes an indirect table of `entries` and offers it. `bytes`: the length that the driver
    /// claims.
    void push_table(std::vector<Descriptor> entries, uint32_t bytes, uint16_t flags = 0) {
        rig.memory.add_bytes(kTable, entries.size() * sizeof(Descriptor), kRead);
        ASSERT_EQ(rig.reload(), LoadError::none);
        rig.memory.write(kTable, entries.data(), entries.size() * sizeof(Descriptor));
        const auto all = static_cast<uint16_t>(kDescIndirect | flags);
        push({{kTable, bytes, all, 5}, {kBuffers, 64, 0, 0}});
    }

    void expect_ok() {
        const auto chains = peek();
        ASSERT_EQ(chains.size(), 1U);
        EXPECT_TRUE(chains[0].good);
        EXPECT_EQ(ledger.twice(), 0U);
    }
    /// Checks that the next chain is dropped, and a harmless one after it is not.
    void expect_drop() {
        const auto indirect = [&](uint16_t index) {
            return (rig.driver.read_descriptor(index).flags & kDescIndirect) != 0;
        };
        const bool table = indirect(0) || indirect(1);
        const auto position = rig.ring.position().avail;
        const uint32_t head = rig.driver.used_idx();
        const auto chains = peek();
        ASSERT_EQ(chains.size(), 1U);
        EXPECT_FALSE(chains[0].good);
        EXPECT_TRUE(chains[0].readable().empty());
        EXPECT_TRUE(chains[0].writable().empty());
        EXPECT_EQ(chains[0].readable_bytes + chains[0].writable_bytes, 0U);
        EXPECT_LE(ledger.fetches(), (table ? 3 : 2) + rig.driver.size())
            << "bounded: index, head, and a walk of the ring's size";
        EXPECT_EQ(rig.ring.fault(), RingFault::none);
        rig.complete(1);
        EXPECT_EQ(rig.driver.used_at(position).id, head) << "test offers head = position";
        EXPECT_EQ(rig.driver.used_at(position).len, 0U);
        const auto other = static_cast<uint16_t>(head + 1);
        rig.driver.write_descriptor(other, {kBuffers, 64, 0, 0});
        rig.driver.push_head(other);
        const auto next = peek();
        ASSERT_EQ(next.size(), 1U) << "the queue goes on";
        EXPECT_TRUE(next[0].good);
        EXPECT_EQ(ledger.twice(), 0U);
    }
    /// Checks that the next chain waits for `iova`, and is dropped when nothing is mapped there.
    void expect_unmapped(Iova iova) {
        EXPECT_TRUE(peek().empty());
        ASSERT_EQ(rig.ring.miss(), iova);
        EXPECT_EQ(ledger.twice(), 0U);
        EXPECT_EQ(rig.driver.used_idx(), rig.ring.position().avail) << "it is still the driver's";
        rig.ring.deny(iova);
        expect_drop();
    }
    void expect_quarantine(RingFault fault) {
        EXPECT_TRUE(peek().empty());
        EXPECT_EQ(rig.ring.fault(), fault);
        const uint16_t used = rig.driver.used_idx();
        rig.driver.write_avail_idx(rig.ring.position().avail);
        EXPECT_TRUE(peek().empty());
        EXPECT_EQ(rig.ring.waiting(), 0U);
        EXPECT_EQ(ledger.fetches(), 0U) << "a quarantined ring is not read again";
        EXPECT_EQ(rig.ring.fault(), fault);
        EXPECT_EQ(rig.driver.used_idx(), used);
        EXPECT_EQ(rig.reload(), LoadError::none);
        EXPECT_EQ(rig.ring.fault(), RingFault::none) << "a reset clears it";
    }
};

// ---- the structure of the ring

TEST_P(HostileRing, Case01_HeadOutsideTheTable) {
    for (const uint16_t head : {uint16_t{16}, uint16_t{255}, uint16_t{65535}}) {
        setup({.size = 16});
        rig.driver.push_head(head);
        expect_quarantine(RingFault::bad_head);
    }
}

TEST_P(HostileRing, Case01_ChainsBeforeABadHeadAreServed) {
    push({{kBuffers, 64, 0, 0}});
    rig.driver.push_head(16);
    EXPECT_EQ(peek().size(), 1U);
    EXPECT_EQ(rig.ring.fault(), RingFault::none);
    rig.complete(1);
    expect_quarantine(RingFault::bad_head);
}

TEST_P(HostileRing, Case02_NextOutsideTheTable) {
    for (const uint16_t next : {uint16_t{16}, uint16_t{32}, uint16_t{65520}}) {
        setup({.size = 16, .start = 1});
        rig.driver.write_descriptor(0, {kBuffers, 64, 0, 0});  // where a masked `next` leads
        rig.driver.write_descriptor(1, {kBuffers, 64, kDescNext, next});
        rig.driver.push_head(1);
        expect_drop();
    }
}

TEST_P(HostileRing, Case03_LoopThroughItself) {
    push({{kBuffers, 64, kDescNext, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case03_LoopThroughItselfInATable) {
    push_table({{kBuffers, 64, kDescNext, 0}}, 16);
    expect_drop();
}

TEST_P(HostileRing, Case04_LoopThroughTwo) {
    push({{kBuffers, 64, kDescNext, 1}, {kBuffers, 64, kDescNext, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case04_LoopThroughAll) {
    for (uint16_t i = 0; i < 16; ++i)
        rig.driver.write_descriptor(
            i, {kBuffers, 64, kDescNext, static_cast<uint16_t>((i + 1) % 16)}
        );
    rig.driver.push_head(0);
    expect_drop();
}

TEST_P(HostileRing, Case04_LoopOfEmptyDescriptors) {
    push({{kBuffers, 0, kDescNext, 1}, {kBuffers, 0, kDescNext, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case05_ChainAsLongAsTheRing) {
    for (const uint32_t size : {1U, 16U, 32768U}) {
        setup({.size = size});
        std::vector<Buffer> buffers(size, {kBuffers, 2, false});
        ASSERT_TRUE(rig.driver.offer(buffers));
        rig.driver.publish();
        expect_ok();
        EXPECT_EQ(rig.chains[0].readable_bytes, 2 * size);
        EXPECT_EQ(ledger.fetches(), 2 + size) << "index, head, each descriptor once";
    }
}

TEST_P(HostileRing, Case05_TableAsLongAsTheRing) {
    const AddressPair table = rig.memory.add_bytes(kTable, 16 * 16, kRead);
    ASSERT_EQ(rig.reload(), LoadError::none);
    rig.driver.offer_indirect(std::vector<Buffer>(16, {kBuffers, 2, false}), table);
    rig.driver.publish();
    expect_ok();
}

TEST_P(HostileRing, Case06_TableLongerThanTheRing) {
    std::vector<Descriptor> entries;
    for (uint16_t i = 0; i < 17; ++i)
        entries.push_back({kBuffers, 2, kDescNext, static_cast<uint16_t>(i + 1)});
    entries.back().flags = 0;
    push_table(entries, 17 * 16);
    expect_drop();
}

TEST_P(HostileRing, Case06_DescriptorsAndTableTogetherLongerThanTheRing) {
    std::vector<Descriptor> entries;
    for (uint16_t i = 0; i < 16; ++i)
        entries.push_back({kBuffers, 2, kDescNext, static_cast<uint16_t>(i + 1)});
    entries.back().flags = 0;
    push_table(entries, 16 * 16);
    rig.driver.write_descriptor(1, rig.driver.read_descriptor(0));
    rig.driver.write_descriptor(0, {kBuffers, 2, kDescNext, 1});
    expect_drop();
}

TEST_P(HostileRing, Case07_AvailIndexJumpsAhead) {
    rig.driver.write_avail_idx(17);
    expect_quarantine(RingFault::avail_jump);
}

TEST_P(HostileRing, Case07_08_WhatWaitsIsBoundedByTheRing) {
    for (const uint16_t index : {uint16_t{116}, uint16_t{117}, uint16_t{99}, uint16_t{32868}}) {
        setup({.size = 16, .start = 100});
        rig.driver.write_avail_idx(index);
        EXPECT_EQ(rig.ring.waiting(), 16U) << index << ": nobody has looked closer yet";
    }
    setup({.size = 16, .start = 100});
    rig.driver.write_avail_idx(117);
    EXPECT_TRUE(peek().empty());
    EXPECT_EQ(rig.ring.waiting(), 0U) << "nothing will come of it";
}

TEST_P(HostileRing, Case07_AsFarAheadAsTheRingIsLong) {
    for (uint16_t i = 0; i < 16; ++i) {
        rig.driver.write_descriptor(i, {kBuffers, 64, 0, 0});
        rig.driver.push_head(i);
    }
    EXPECT_EQ(peek().size(), 16U);
}

TEST_P(HostileRing, Case08_AvailIndexGoesBack) {
    for (const uint32_t size : {1U, 16U, 256U, 32768U}) {
        setup({.size = size, .start = 100});
        rig.driver.write_avail_idx(99);
        expect_quarantine(RingFault::avail_jump);
    }
}

TEST_P(HostileRing, Case09_AvailIndexWraps) {
    setup({.size = 16, .start = 65530});
    for (uint32_t i = 0; i < 12; ++i)
        rig.driver.offer({{kBuffers + i * 64, 64, false}});
    rig.driver.publish();
    EXPECT_EQ(rig.driver.avail_idx(), 6);
    const auto chains = peek();
    ASSERT_EQ(chains.size(), 12U);
    EXPECT_EQ(ledger.twice(), 0U);
    for (uint32_t i = 0; i < 12; ++i)
        EXPECT_EQ(chains[i].segments->host, rig.memory.host(kBuffers + i * 64));
    rig.complete(12);
    EXPECT_EQ(rig.driver.used_idx(), 6);
}

TEST_P(HostileRing, Case10_SameHeadTwiceInFlight) {
    push({{kBuffers, 64, 0, 0}});
    rig.driver.push_head(0);
    const auto chains = peek();
    ASSERT_EQ(chains.size(), 2U);
    EXPECT_TRUE(chains[0].good);
    EXPECT_TRUE(chains[1].good);
    EXPECT_LE(ledger.fetches(), 4U);
    rig.complete(2);
    EXPECT_EQ(rig.driver.used_at(0).id, 0U);
    EXPECT_EQ(rig.driver.used_at(1).id, 0U);
}

TEST_P(HostileRing, Case11_ReadableBehindWritable) {
    push({{kBuffers, 64, kDescNext | kDescWrite, 1}, {kBuffers, 64, 0, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case12_UnknownFlags) {
    constexpr auto kUnknown = static_cast<uint16_t>(~(kDescNext | kDescWrite | kDescIndirect));
    push({{kBuffers, 64, kUnknown | kDescNext, 1}, {kBuffers, 64, kUnknown | kDescWrite, 0}});
    expect_ok();
    EXPECT_EQ(rig.chains[0].readable_bytes, 64U);
    EXPECT_EQ(rig.chains[0].writable_bytes, 64U);
}

TEST_P(HostileRing, Case13_IndirectNotNegotiated) {
    rig.options.indirect = false;
    push_table({{kBuffers, 64, 0, 0}}, 16);
    ledger.begin();
    expect_drop();
    EXPECT_FALSE(ledger.touched(rig.memory.host(kTable), 16));
}

TEST_P(HostileRing, Case14_IndirectAndNext) {
    push_table({{kBuffers, 64, 0, 0}}, 16, kDescNext);
    expect_drop();
}

TEST_P(HostileRing, Case15_IndirectInATable) {
    push_table({{kTable + 16, 16, kDescIndirect, 0}, {kBuffers, 64, 0, 0}}, 32);
    expect_drop();
}

TEST_P(HostileRing, Case16_TableSpansTwoRegions) {
    // 40 bytes in the first region: the third entry is split 8 to 8.
    rig.memory.add_bytes(kTable, 40, kRead);
    rig.memory.add_bytes(kTable + 40, 24, kRead);
    ASSERT_EQ(rig.reload(), LoadError::none);
    for (uint16_t i = 0; i < 4; ++i) {
        const Descriptor entry{
            kBuffers + i * 64U, 64, i < 3 ? kDescNext : uint16_t{0}, static_cast<uint16_t>(i + 1)};
        rig.memory.store(kTable + i * 16U, entry);
    }
    push({{kTable, 64, kDescIndirect, 0}});
    expect_ok();
    EXPECT_EQ(rig.chains[0].readable_bytes, 256U);
    EXPECT_EQ(rig.chains[0].readable()[2].host, rig.memory.host(kBuffers + 128));
}

TEST_P(HostileRing, Case16_TableEndsBeforeItsLength) {
    push_table({{kBuffers, 64, kDescNext, 1}, {kBuffers, 64, kDescNext, 2}}, 48);
    expect_unmapped(kTable + 32);
}

TEST_P(HostileRing, Case17_OddTableLengths) {
    for (const uint32_t bytes : {0U, 1U, 15U, 17U, 31U}) {
        setup({.size = 16});
        push_table({{kBuffers, 64, 0, 0}, {kBuffers, 64, 0, 0}}, bytes);
        expect_drop();
    }
}

TEST_P(HostileRing, Case18_TableOf268MillionEntries) {
    push_table({{kBuffers, 64, 0, 0}}, 0xfffffff0);
    expect_drop();
}

TEST_P(HostileRing, Case18_TableThatWraps) {
    push({{kTop - 15, 32, kDescIndirect, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case19_TableOverlapsTheDescriptors) {
    // Entry 0 of the table is the descriptor that refers to it.
    push({{rig.driver.layout().desc, 32, kDescIndirect, 0}, {kBuffers, 64, 0, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case19_TableOverlapsTheUsedRing) {
    // used[0] becomes an entry of the next chain's table. Whatever it means, the work is bounded.
    const Iova used = rig.driver.layout().used;
    push({{used + 4, 16, kDescIndirect, 0}});
    for (int round = 0; round < 100; ++round) {
        const auto chains = peek();
        if (chains.empty()) {
            ASSERT_TRUE(rig.ring.miss());
            rig.ring.deny(*rig.ring.miss());
            continue;
        }
        EXPECT_LE(ledger.fetches(), 4U);
        rig.complete(1, 0xffffffff);
        rig.driver.push_head(0);
    }
    EXPECT_GE(rig.ring.position().avail, 50);
}

TEST_P(HostileRing, Case20_NextOutsideTheIndirectTable) {
    push_table({{kBuffers, 64, kDescNext, 2}, {kBuffers, 64, 0, 0}}, 32);
    expect_drop();
}

TEST_P(HostileRing, Case21_LengthsAddUpToMoreThan32Bits) {
    // The region claims 16 GiB. Nothing past its first page is accessed.
    constexpr Iova kHuge = 0x10'0000'0000;
    rig.memory.add(kHuge, kHuge + 0x3'ffff'ffff, kReadWrite, 4096);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{kHuge, 0xffffffff, kDescNext, 1}, {kHuge, 1, 0, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case21_ReadableAndWritableTogether) {
    constexpr Iova kHuge = 0x10'0000'0000;
    rig.memory.add(kHuge, kHuge + 0x3'ffff'ffff, kReadWrite, 4096);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{kHuge, 0x80000000, kDescNext, 1}, {kHuge, 0x80000000, kDescWrite, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case22_EmptyDescriptorsAreSkipped) {
    for (const uint16_t empty : {uint16_t{0}, uint16_t{1}, uint16_t{2}}) {
        setup({.size = 16});
        for (uint16_t i = 0; i < 3; ++i)
            rig.driver.write_descriptor(
                i,
                {i == empty ? kNowhere : kBuffers,
                 i == empty ? 0U : 64U,
                 i < 2 ? kDescNext : uint16_t{0},
                 static_cast<uint16_t>(i + 1)}
            );
        rig.driver.push_head(0);
        expect_ok();
        EXPECT_EQ(rig.chains[0].readable().size(), 2U);
        EXPECT_EQ(rig.chains[0].readable_bytes, 128U);
    }
}

TEST_P(HostileRing, Case22_OnlyEmptyDescriptors) {
    push({{kBuffers, 0, kDescNext, 1}, {kNowhere, 0, kDescWrite, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case22_EmptyDescriptorsCount) {
    // An indirect table of size + 1 entries, all but the last empty.
    std::vector<Descriptor> entries;
    for (uint16_t i = 0; i < 17; ++i)
        entries.push_back({kBuffers, 0, kDescNext, static_cast<uint16_t>(i + 1)});
    entries.back() = {kBuffers, 64, 0, 0};
    push_table(entries, 17 * 16);
    expect_drop();
}

// Case 23 depends on the direction: see from_guest_test.cc and to_guest_test.cc.

// ---- addresses and regions

TEST_P(HostileRing, Case24_BufferAcrossTwoRegions) {
    rig.memory.add_bytes(0x1000, 0x1000);
    rig.memory.add_bytes(0x2000, 0x1000);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{0x1ff0, 0x20, 0, 0}});
    expect_ok();
    const auto segments = rig.chains[0].readable();
    ASSERT_EQ(segments.size(), 2U);
    EXPECT_EQ(segments[0].host, rig.memory.host(0x1ff0));
    EXPECT_EQ(segments[0].bytes, 0x10U);
    EXPECT_EQ(segments[1].host, rig.memory.host(0x2000));
    EXPECT_EQ(segments[1].bytes, 0x10U);
    EXPECT_EQ(rig.chains[0].readable_bytes, 0x20U);
}

TEST_P(HostileRing, Case25_BufferIntoAGap) {
    rig.memory.add_bytes(0x1000, 0x1000);
    rig.memory.add_bytes(0x3000, 0x1000);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{0x1ff0, 0x1020, kDescWrite, 0}});
    expect_unmapped(0x2000);
}

TEST_P(HostileRing, Case26_MoreRegionsThanSegments) {
    constexpr Iova kPages = 0x5000'0000;
    for (Iova i = 0; i < 1000; ++i)
        rig.memory.add(kPages + i * 16, kPages + i * 16 + 15);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{kPages, 1000 * 16, 0, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case26_SegmentsRunOutBehindOtherChains) {
    constexpr Iova kPages = 0x5000'0000;
    for (Iova i = 0; i < 200; ++i)
        rig.memory.add(kPages + i * 16, kPages + i * 16 + 15);
    ASSERT_EQ(rig.reload(), LoadError::none);
    for (uint16_t i = 0; i < 3; ++i) {
        rig.driver.write_descriptor(i, {kPages, 200 * 16, 0, 0});
        rig.driver.push_head(i);
    }
    // Each chain is legal. However few fit into a burst, all of them get through.
    for (uint16_t served = 0; served < 3;) {
        const auto chains = peek();
        ASSERT_FALSE(chains.empty());
        for (const ring::Chain& chain : chains)
            EXPECT_TRUE(chain.good && chain.readable().size() == 200);
        rig.complete(chains.size());
        served = static_cast<uint16_t>(served + chains.size());
    }
}

TEST_P(HostileRing, Case27_OneByteBehindTheRegion) {
    push({{kBuffers + RingRig::kBufferBytes - 63, 64, 0, 0}});
    expect_unmapped(kBuffers + RingRig::kBufferBytes);
}

TEST_P(HostileRing, Case28_AddressWraps) {
    rig.memory.add(kTop - 0xfff, kTop);
    rig.memory.add_bytes(0, 0x1000);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{kTop - 31, 64, 0, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case29_LastByteOfTheAddressSpace) {
    rig.memory.add(kTop - 0xfff, kTop);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{kTop, 1, 0, 0}});
    expect_ok();
    EXPECT_EQ(rig.chains[0].readable()[0].host, rig.memory.host(kTop));
}

TEST_P(HostileRing, Case30_RegionOfTheWholeAddressSpace) {
    GuestMemory all;
    const AddressPair base = all.add(0, kTop, kReadWrite, 0x10000);
    MockDriver driver(RingAreas::behind(base, 16), {.size = 16});
    ASSERT_EQ(rig.ring.load(all.table(), driver.layout(), rig.options), LoadError::none);
    ASSERT_TRUE(rig.ring.restart({.avail = 0}));
    driver.offer({{0x8000, 64, false}});
    driver.offer({{Iova{1} << 60, 64, true}});  // translated, never accessed
    driver.publish();
    const auto chains = peek();
    ASSERT_EQ(chains.size(), 2U);
    EXPECT_TRUE(chains[0].good);
    EXPECT_TRUE(chains[1].good);
    EXPECT_EQ(ledger.twice(), 0U);
}

TEST_P(HostileRing, Case31_UnmappedAddress) {
    push({{kNowhere, 64, 0, 0}});
    expect_unmapped(kNowhere);
}

TEST_P(HostileRing, Case31_MappedWhileTheChainWaits) {
    push({{kNowhere, 64, 0, 0}});
    EXPECT_TRUE(peek().empty());
    EXPECT_EQ(rig.ring.miss(), kNowhere);
    rig.memory.add_bytes(kNowhere, 64);
    ASSERT_EQ(rig.reload(), LoadError::none);
    EXPECT_FALSE(rig.ring.miss());
    expect_ok();
}

TEST_P(HostileRing, Case31_ADenialIsForgottenWithTheTable) {
    push({{kNowhere, 64, 0, 0}});
    EXPECT_TRUE(peek().empty());
    rig.ring.deny(kNowhere);
    ASSERT_EQ(rig.reload(), LoadError::none);
    EXPECT_TRUE(peek().empty());
    EXPECT_EQ(rig.ring.miss(), kNowhere);
}

TEST_P(HostileRing, Case31_ChainsBeforeTheUnmappedOneAreServed) {
    push({{kBuffers, 64, 0, 0}, {kNowhere, 64, 0, 0}});
    rig.driver.push_head(1);
    EXPECT_EQ(peek().size(), 1U);
    EXPECT_EQ(rig.ring.miss(), kNowhere);
}

TEST_P(HostileRing, Case32_WriteIntoAReadOnlyRegion) {
    rig.memory.add_bytes(0x1000, 0x1000, kRead);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{0x1000, 64, kDescWrite, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case32_UsedRingInAReadOnlyRegion) {
    ring::Layout layout = rig.driver.layout();
    rig.memory.add_bytes(0x1000, 0x1000, kRead);
    layout.used = 0x1000;
    EXPECT_EQ(rig.ring.load(rig.memory.table(), layout, rig.options), LoadError::unmapped);
}

TEST_P(HostileRing, Case33_ReadFromAWriteOnlyRegion) {
    rig.memory.add_bytes(0x1000, 0x1000, kWrite);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{0x1000, 64, 0, 0}});
    expect_drop();
    for (const bool avail : {false, true}) {
        ring::Layout layout = rig.driver.layout();
        (avail ? layout.avail : layout.desc) = 0x1000;
        EXPECT_EQ(rig.ring.load(rig.memory.table(), layout, rig.options), LoadError::unmapped);
    }
}

TEST_P(HostileRing, Case33_TableInAWriteOnlyRegion) {
    rig.memory.add_bytes(0x1000, 0x1000, kWrite);
    ASSERT_EQ(rig.reload(), LoadError::none);
    push({{0x1000, 16, kDescIndirect, 0}});
    expect_drop();
}

TEST_P(HostileRing, Case34_AddressOfAnotherSpace) {
    // The other space has memory at this address and ours has none. Only our table is used.
    GuestMemory other;
    other.add_bytes(kNowhere, 0x1000);
    other.table();
    push({{kNowhere, 64, 0, 0}});
    expect_unmapped(kNowhere);
}

TEST_P(HostileRing, Case35_ManyRegions) {
    for (const uint32_t count : {1U, 512U, 100000U}) {
        std::vector<memory::Region> regions;
        for (const GuestMemory::Entry& entry : rig.memory.entries())
            regions.push_back(entry.region);
        for (Iova i = 0; i < count; ++i) {
            const Iova first = 0x1'0000'0000 + i * 0x2000;
            regions.push_back({first, first + 0xfff, rig.memory.host(kBuffers), kReadWrite});
        }
        const auto table = memory::Table::build(regions, rig.memory.allocator, -1);
        ASSERT_EQ(rig.ring.load(table.get(), rig.driver.layout(), rig.options), LoadError::none);
        push({{0x1'0000'0000 + (count - 1) * Iova{0x2000} + 0xfff, 1, 0, 0}});
        expect_ok();
        EXPECT_EQ(rig.chains[0].readable()[0].host, rig.memory.host(kBuffers) + 0xfff);
        rig.complete(1);
    }
}

// 64 chains as long as the ring, on an lcore that also serves other queues. A call costs no more
// than the budget and one chain, and all chains get through.
TEST_P(HostileRing, Case146_CallsAreBounded) {
    constexpr uint32_t kSize = 32768;
    constexpr uint32_t kBudget = 64 * 44;
    setup({.size = kSize});
    for (uint32_t i = 0; i < kSize; ++i) {
        const auto next = static_cast<uint16_t>(i + 1);
        rig.driver.write_descriptor(
            static_cast<uint16_t>(i), {kBuffers, 0, i + 1 < kSize ? kDescNext : uint16_t{0}, next}
        );
    }
    for (uint16_t i = 0; i < 64; ++i)
        rig.driver.push_head(0);
    size_t done = 0;
    for (int calls = 0; calls < 64; ++calls) {
        const auto chains = peek();
        done += chains.size();
        rig.complete(chains.size());
        EXPECT_EQ(rig.ring.peek_more(rig.chains), 0U) << "the call has cost enough";
        EXPECT_LE(ledger.fetches(), 2 + 64 + kBudget + kSize);
    }
    EXPECT_EQ(done, 64U);
    // Many short chains, returned immediately: the same call may continue, but not without end.
    setup({.size = kSize});
    for (uint32_t i = 0; i < kSize; ++i)
        rig.driver.offer({{kBuffers, 4, false}});
    rig.driver.publish();
    done = peek().size();
    for (size_t more = done; more != 0; done += more) {
        rig.complete(more);
        more = rig.ring.peek_more(rig.chains);
    }
    EXPECT_EQ(done, kBudget);
    // Honest chains stay within the budget: 64 chains of 19 descriptors, which Linux needs for the
    // largest frame.
    setup({.size = 2048});
    for (int i = 0; i < 64; ++i)
        ASSERT_TRUE(rig.driver.offer(std::vector<Buffer>(19, {kBuffers, 4, false})));
    rig.driver.publish();
    ledger.begin();
    EXPECT_EQ(rig.peek().size(), 64U);
}

class HostileLayout : public HostileRing {
  protected:
    LoadError load(Iova desc, Iova avail, Iova used) {
        return rig.ring.load(rig.memory.table(), {16, desc, avail, used}, rig.options);
    }
    HostileLayout() { rig.memory.add_bytes(0x10000, 0x1000); }
};

TEST_P(HostileLayout, Case36_Misaligned) {
    EXPECT_EQ(load(0x10000, 0x10200, 0x10400), LoadError::none);
    for (Iova off = 1; off < 16; ++off)
        EXPECT_EQ(load(0x10000 + off, 0x10200, 0x10400), LoadError::misaligned);
    EXPECT_EQ(load(0x10000, 0x10201, 0x10400), LoadError::misaligned);
    for (Iova off = 1; off < 4; ++off)
        EXPECT_EQ(load(0x10000, 0x10200, 0x10400 + off), LoadError::misaligned);
}

TEST_P(HostileLayout, Case36_SpanningRegions) {
    rig.memory.add_bytes(0x20000, 0x1000);
    rig.memory.add_bytes(0x21000, 0x1000);  // contiguous IOVAs, but not contiguous host memory
    EXPECT_EQ(load(0x20ff0, 0x10200, 0x10400), LoadError::unmapped);
    EXPECT_EQ(load(0x10000, 0x20ffe, 0x10400), LoadError::unmapped);
    EXPECT_EQ(load(0x10000, 0x10200, 0x20ffc), LoadError::unmapped);
}

TEST_P(HostileLayout, Case36_PartlyMapped) {
    EXPECT_EQ(load(0x11000 - 16 * 16, 0x10200, 0x10400), LoadError::none) << "just fits";
    EXPECT_EQ(load(0x11000 - 15 * 16, 0x10200, 0x10400), LoadError::unmapped);
    EXPECT_EQ(load(0x10000, 0x11000 - 36, 0x10400), LoadError::none);
    EXPECT_EQ(load(0x10000, 0x11000 - 34, 0x10400), LoadError::unmapped);
    EXPECT_EQ(load(0x10000, 0x10200, 0x11000 - 132), LoadError::none);
    EXPECT_EQ(load(0x10000, 0x10200, 0x11000 - 128), LoadError::unmapped);
    EXPECT_EQ(load(0, 0, 0), LoadError::unmapped);
    EXPECT_EQ(load(kTop - 15, 0x10200, 0x10400), LoadError::unmapped);
}

TEST_P(HostileLayout, Case36_OverlappingParts) {
    EXPECT_EQ(load(0x10000, 0x10000, 0x10400), LoadError::overlapping);
    EXPECT_EQ(load(0x10000, 0x10200, 0x10200), LoadError::overlapping);
    EXPECT_EQ(load(0x10100, 0x10400, 0x10080), LoadError::overlapping);
    EXPECT_EQ(load(0x10000, 0x10100, 0x10124), LoadError::none) << "touching is not overlapping";
    EXPECT_EQ(load(0x10000, 0x10100, 0x10120), LoadError::overlapping);
}

TEST_P(HostileLayout, Case36_RefusedRingKeepsTheOldOne) {
    const memory::Table* table = rig.memory.table();
    ring::Layout layout = rig.driver.layout();
    ASSERT_EQ(rig.ring.load(table, layout, rig.options), LoadError::none);
    layout.size = 3;
    ASSERT_EQ(rig.ring.load(table, layout, rig.options), LoadError::bad_size);
    push({{kBuffers, 64, 0, 0}});
    expect_ok();
}

// ---- races with the driver

class RacingDriver : public HostileRing {
  protected:
    /// Peeks while the driver does `action` after the `nth` fetch: 1 is the index, 2 the heads, 3
    /// the first descriptor of the first chain.
    std::span<const ring::Chain> race(size_t nth, std::function<void()> action) {
        ledger.begin();
        ledger.after(nth, std::move(action));
        const auto chains = rig.peek();
        EXPECT_EQ(ledger.twice(), 0U);
        return chains;
    }
};

TEST_P(RacingDriver, Case47_LengthGrowsAfterTheCheck) {
    push({{kBuffers, 64, 0, 0}});
    const auto chains = race(3, [&] {
        rig.driver.write_descriptor(0, {kBuffers, 0xffffffff, 0, 0});
    });
    ASSERT_EQ(chains.size(), 1U);
    EXPECT_EQ(chains[0].readable_bytes, 64U);
    EXPECT_EQ(chains[0].readable()[0].bytes, 64U);
}

TEST_P(RacingDriver, Case49_FlagsChangeMidWalk) {
    const uint16_t flags[] = {kDescNext, kDescWrite, kDescIndirect, 0};
    for (const uint16_t later : flags) {
        setup({.size = 16});
        push({{kBuffers, 64, kDescNext, 1}, {kBuffers + 64, 64, kDescWrite, 0}});
        const auto chains = race(3, [&] {
            rig.driver.write_descriptor(0, {kBuffers, 64, later, 7});
        });
        ASSERT_EQ(chains.size(), 1U);
        EXPECT_EQ(chains[0].readable_bytes, 64U);
        EXPECT_EQ(chains[0].writable_bytes, 64U);
    }
}

TEST_P(RacingDriver, Case50_NextChangesMidWalk) {
    push({{kBuffers, 64, kDescNext, 1}, {kBuffers + 64, 64, kDescNext, 2}, {kBuffers, 8, 0, 0}});
    const auto chains = race(3, [&] {
        rig.driver.write_descriptor(0, {kBuffers, 64, kDescNext, 60000});
    });
    ASSERT_EQ(chains.size(), 1U);
    EXPECT_TRUE(chains[0].good);
    EXPECT_EQ(chains[0].readable_bytes, 136U);
}

TEST_P(RacingDriver, Case50_HeadChangesAfterTheFetch) {
    push({{kBuffers, 64, 0, 0}});
    race(2, [&] { rig.driver.write_avail(0, 60000); });
    rig.complete(1);
    EXPECT_EQ(rig.driver.used_at(0).id, 0U);
    EXPECT_EQ(rig.ring.fault(), RingFault::none);
}

TEST_P(RacingDriver, Case50_IndexChangesAfterTheFetch) {
    push({{kBuffers, 64, 0, 0}});
    EXPECT_EQ(race(1, [&] { rig.driver.write_avail_idx(9999); }).size(), 1U);
}

TEST_P(RacingDriver, Case51_TableRewrittenMidWalk) {
    push_table({{kBuffers, 64, kDescNext, 1}, {kBuffers + 64, 64, 0, 0}}, 32);
    // Changes the table's length and entries after the fetch of the descriptor that refers to it.
    auto chains = race(3, [&] {
        rig.driver.write_descriptor(0, {kTable, 0xfffffff0, kDescIndirect, 0});
        rig.memory.store(kTable, Descriptor{kBuffers, 32, kDescNext, 1});
    });
    ASSERT_EQ(chains.size(), 1U);
    EXPECT_EQ(chains[0].readable_bytes, 96U) << "entries as they were when they were fetched";
    // Changes the first entry after the device has fetched it.
    rig.driver.write_descriptor(0, {kTable, 32, kDescIndirect, 0});
    chains = race(4, [&] {
        rig.memory.store(kTable, Descriptor{kNowhere, 1, kDescIndirect, 60000});
    });
    ASSERT_EQ(chains.size(), 1U);
    EXPECT_TRUE(chains[0].good);
    EXPECT_EQ(chains[0].readable_bytes, 96U);
}

TEST_P(RacingDriver, Case54_UsedRingIsNeverReadBack) {
    push({{kBuffers, 64, 0, 0}});
    peek();
    rig.driver.write_used_idx(12345);
    rig.complete(1);
    EXPECT_EQ(rig.driver.used_idx(), 1);
}

const auto kPeekings = testing::Values(
    RingRig::Peeking::any, RingRig::Peeking::simple_readable, RingRig::Peeking::simple_writable
);
INSTANTIATE_TEST_SUITE_P(Peek, HostileRing, kPeekings);
INSTANTIATE_TEST_SUITE_P(Peek, RacingDriver, kPeekings);
INSTANTIATE_TEST_SUITE_P(Peek, HostileLayout, testing::Values(RingRig::Peeking::any));

}  // namespace
}  // namespace vduse::test
