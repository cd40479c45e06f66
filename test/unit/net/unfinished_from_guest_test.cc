// SPDX-License-Identifier: BSD-3-Clause

// net/from_guest.h: frames with unfinished checksums or segmentation, through a ring.
#include <gtest/gtest.h>

#include <vector>

#include "net/from_guest.h"
#include "support/eal.h"
#include "support/fetch_ledger.h"
#include "support/frames.h"
#include "support/ring_rig.h"

namespace vduse::test {
namespace {

using memory::Iova;
using net::NetHeader;

constexpr uint32_t kLongest = 1522;
constexpr Iova kEnd = RingRig::kBuffers + RingRig::kBufferBytes;
constexpr uint16_t kMss = 1000;

class UnfinishedFromGuest : public testing::Test {
  protected:
    RingRig rig;
    Pool pool{512};
    net::FromGuestRules rules{kLongest, false, 3, {true, true, true, true}};
    net::QueueCounters counters;
    FetchLedger ledger;
    std::vector<rte_mbuf*> got;
    uint16_t count = 0;
    Iova place = kEnd;

    ~UnfinishedFromGuest() override { drop_got(); }
    void drop_got() {
        rte_pktmbuf_free_bulk(got.data(), count);
        count = 0;
    }

    /// Offers header and frame in descriptors of the given sizes, and the rest in one more.
    void send(const NetHeader& header, const FrameBytes& bytes, std::vector<uint32_t> sizes = {}) {
        const auto total = static_cast<uint32_t>(sizeof header + bytes.size());
        place -= total;
        rig.memory.store(place, header);
        rig.memory.write(place + sizeof header, bytes.data(), bytes.size());
        std::vector<Buffer> buffers;
        uint32_t done = 0;
        for (size_t i = 0; i < sizes.size() && done + sizes[i] < total; ++i) {
            buffers.push_back({place + done, sizes[i], false});
            done += sizes[i];
        }
        buffers.push_back({place + done, total - done, false});
        ASSERT_TRUE(rig.driver.offer(buffers));
        rig.driver.publish();
    }
    uint16_t burst(Pool& from, size_t most = 8) {
        drop_got();
        got.assign(most, nullptr);
        ledger.begin();
        count = net::from_guest(rig.ring, from.get(), rules, std::span(got), counters);
        EXPECT_EQ(ledger.twice(), 0U) << "each byte is fetched once";
        for (uint16_t i = 0; i < count; ++i) {
            EXPECT_EQ(rte_mbuf_check(got[i], 1, nullptr), 0);
            EXPECT_EQ(got[i]->port, 3);
        }
        while (const auto used = rig.driver.take_used())
            EXPECT_EQ(used->len, 0U);
        if (rig.driver.in_flight() == 0)
            place = kEnd;
        return count;
    }
    uint16_t burst() { return burst(pool); }
    [[nodiscard]] uint64_t drops(Drop reason) const {
        return counters.drops[static_cast<size_t>(reason)].read();
    }
    void expect_drop(Drop reason) {
        const uint64_t before = drops(reason);
        EXPECT_EQ(burst(), 0U);
        EXPECT_EQ(drops(reason), before + 1);
        EXPECT_EQ(rig.driver.in_flight(), 0U);
        EXPECT_EQ(pool.in_use(), 0U);
    }
};

NetHeader csum_of(const Frame& frame) {
    NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    header.csum_start = static_cast<uint16_t>(frame.l4_at());
    header.csum_offset = frame.tcp ? 16 : 6;
    header.hdr_len = 9999;  // only a hint, may be wrong
    return header;
}
NetHeader large_of(const Frame& frame, uint16_t mss = kMss) {
    NetHeader header = csum_of(frame);
    header.gso_type = frame.ipv4 ? net::kGsoTcp4 : net::kGsoTcp6;
    header.gso_size = mss;
    return header;
}

TEST_F(UnfinishedFromGuest, Checksums) {
    for (const bool tcp : {true, false})
        for (const bool ipv4 : {true, false})
            for (const auto& sizes : std::vector<std::vector<uint32_t>>{
                     {}, {12}, {1, 1, 10}, {2}, {12, 14, 20, 20}, std::vector<uint32_t>(90, 1)}) {
                const Frame frame = make_frame({.ipv4 = ipv4, .tcp = tcp, .payload = 301});
                send(csum_of(frame), frame.bytes, sizes);
                ASSERT_EQ(burst(), 1U);
                EXPECT_EQ(content(got[0]), frame.bytes);
                EXPECT_EQ(got[0]->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
                EXPECT_EQ(got[0]->l2_len + got[0]->l3_len, frame.l4_at());
                // In a single buffer, num_buffers is not read: it means nothing in this direction.
                const size_t header = sizes.empty() ? 10 : 12;
                EXPECT_EQ(
                    ledger.bytes(),
                    4 + 16 * std::min(sizes.size() + 1, frame.bytes.size() + 12) + header +
                        frame.bytes.size()
                );
            }
    EXPECT_EQ(counters.csum.read(), 24U);
    EXPECT_EQ(counters.large.read() + counters.csum_done.read(), 0U);
    EXPECT_EQ(counters.frames.read(), 24U);
}

TEST_F(UnfinishedFromGuest, OtherChecksumsAreFinishedOverMbufs) {
    Pool small(64, 101);
    const Frame frame = make_frame({.payload = 801});
    NetHeader header = csum_of(frame);
    header.csum_start -= 3;
    send(header, frame.bytes, {12, 333});
    ASSERT_EQ(burst(small), 1U);
    FrameBytes should = frame.bytes;
    const size_t start = frame.l4_at() - 3;
    put16(should, start + 16, static_cast<uint16_t>(~plain_sum(should, start, should.size())));
    EXPECT_EQ(content(got[0]), should);
    EXPECT_EQ(got[0]->ol_flags, 0U);
    EXPECT_EQ(counters.csum_done.read(), 1U);
    EXPECT_EQ(counters.csum.read(), 0U);
    drop_got();
}

TEST_F(UnfinishedFromGuest, LargeFrames) {
    size_t bytes = 0;
    size_t all_segments = 0;
    size_t segment_bytes = 0;
    for (const bool ipv4 : {true, false})
        for (const size_t payload : {size_t{1001}, size_t{3000}, size_t{65535 - 40 - 20}})
            for (const auto& sizes : std::vector<std::vector<uint32_t>>{
                     {}, {12}, {12, 54, 4096, 4096, 4096}, std::vector<uint32_t>(40, 999)}) {
                const Frame frame = make_frame({.ipv4 = ipv4, .payload = payload});
                send(large_of(frame), frame.bytes, sizes);
                ASSERT_EQ(burst(), 1U) << payload;
                EXPECT_EQ(content(got[0]), frame.bytes);
                EXPECT_EQ(got[0]->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
                EXPECT_EQ(got[0]->tso_segsz, kMss);
                const size_t segments = (payload + kMss - 1) / kMss;
                bytes += frame.bytes.size();
                all_segments += segments;
                segment_bytes += payload + segments * frame.headers();
            }
    EXPECT_EQ(counters.large.read(), 24U);
    EXPECT_EQ(counters.large_bytes.read(), bytes);
    EXPECT_EQ(counters.segments.read(), all_segments);
    EXPECT_EQ(counters.segment_bytes.read(), segment_bytes);
    drop_got();
}

// The longest IPv4 length, after two VLAN tags. A chain one byte longer is not even read.
TEST_F(UnfinishedFromGuest, TheLongest) {
    const Frame frame = make_frame({.tags = {0x88a8, 0x8100}, .payload = 65535 - 40});
    ASSERT_EQ(frame.bytes.size(), kLongestLarge);
    send(large_of(frame), frame.bytes);
    ASSERT_EQ(burst(), 1U);
    EXPECT_EQ(content(got[0]), frame.bytes);
    drop_got();
    FrameBytes longer = frame.bytes;
    longer.push_back(0);
    send(large_of(frame), longer);
    expect_drop(Drop::too_long);
    EXPECT_LE(ledger.bytes(), 20U);
}

TEST_F(UnfinishedFromGuest, WhatIsLongMustBeLarge) {
    const Frame frame = make_frame({.payload = 3000});
    send({}, frame.bytes);
    expect_drop(Drop::too_long);
    send(csum_of(frame), frame.bytes);
    expect_drop(Drop::too_long);
    // One segment is longer than the MTU allows.
    send(large_of(frame, 1500), frame.bytes);
    expect_drop(Drop::too_long);
    send(large_of(frame, 3000), frame.bytes);
    expect_drop(Drop::too_long);
    send(large_of(frame, static_cast<uint16_t>(kLongest - frame.headers())), frame.bytes);
    EXPECT_EQ(burst(), 1U);
    drop_got();
    send(large_of(frame, static_cast<uint16_t>(kLongest - frame.headers() + 1)), frame.bytes);
    expect_drop(Drop::too_long);
}

// A frame that fits the MTU may still be large: it has many small segments.
TEST_F(UnfinishedFromGuest, ShortAndLarge) {
    const Frame frame = make_frame({.payload = 1000});
    send(large_of(frame, 100), frame.bytes);
    ASSERT_EQ(burst(), 1U);
    EXPECT_EQ(got[0]->tso_segsz, 100U);
    EXPECT_EQ(got[0]->nb_segs, 1U);
    drop_got();
}

TEST_F(UnfinishedFromGuest, LinearIsNotForLargeOnes) {
    rules = {9720, true, 3, {true, true, true, true}};
    const Frame frame = make_frame({.payload = 5000});
    send(large_of(frame), frame.bytes);
    EXPECT_EQ(burst(), 1U);
    drop_got();
    send(csum_of(frame), frame.bytes);
    expect_drop(Drop::too_long);
    send({}, frame.bytes);
    expect_drop(Drop::too_long);
    rules.offloads = {true, false, false, true};
    send(large_of(frame), frame.bytes);
    expect_drop(Drop::too_long);
    EXPECT_LE(ledger.bytes(), 20U) << "nothing of it is looked at";
}

TEST_F(UnfinishedFromGuest, NotNegotiated) {
    const Frame small = make_frame({.payload = 700});
    const Frame frame = make_frame({.payload = 1300});
    const Frame six = make_frame({.ipv4 = false, .payload = 1300});
    for (const auto& sizes : std::vector<std::vector<uint32_t>>{{}, {12, 30}}) {
        rules.offloads = {};
        send(csum_of(small), small.bytes, sizes);
        expect_drop(Drop::bad_header);
        send(large_of(frame), frame.bytes, sizes);
        expect_drop(Drop::bad_header);
        rules.offloads = {true, true, false, false};
        send(large_of(six), six.bytes, sizes);
        expect_drop(Drop::bad_header);
        NetHeader ecn = large_of(frame);
        ecn.gso_type |= net::kGsoEcn;
        send(ecn, frame.bytes, sizes);
        expect_drop(Drop::bad_header);
        send(large_of(frame), frame.bytes, sizes);
        EXPECT_EQ(burst(), 1U);
        drop_got();
    }
}

// The flags of a dropped frame and its further mbufs do not leak into the next frame.
TEST_F(UnfinishedFromGuest, AfterADroppedFrame) {
    Pool small(12, 256);
    const Frame bad = make_frame({.payload = 1400});
    const Frame good = make_frame({.payload = 700, .seed = 9});
    const FrameBytes plain = pattern(60);
    NetHeader header = large_of(bad);
    header.csum_start += 2;
    for (const auto& sizes : std::vector<std::vector<uint32_t>>{{}, {12, 100}}) {
        send(header, bad.bytes, sizes);
        send(csum_of(good), good.bytes, sizes);
        header = large_of(bad, 31);
        send(header, bad.bytes, sizes);
        send({}, plain);
        ASSERT_EQ(burst(small), 2U);
        EXPECT_EQ(content(got[0]), good.bytes);
        EXPECT_EQ(got[0]->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
        EXPECT_EQ(got[0]->tso_segsz, 0U);
        EXPECT_EQ(content(got[1]), plain);
        EXPECT_EQ(got[1]->ol_flags, 0U);
        EXPECT_EQ(got[1]->tx_offload, 0U);
        EXPECT_EQ(got[1]->nb_segs, 1U);
        drop_got();
        EXPECT_EQ(small.in_use(), 0U);
    }
    EXPECT_EQ(drops(Drop::bad_gso), 4U);
}

// A large frame waits for mbufs like any other, and is complete when it arrives.
TEST_F(UnfinishedFromGuest, MbufsRunOut) {
    Pool small(8, 256);
    const Frame frame = make_frame({.payload = 1400});
    send(large_of(frame, 500), frame.bytes);
    std::vector<rte_mbuf*> taken(4);
    ASSERT_EQ(rte_pktmbuf_alloc_bulk(small.get(), taken.data(), 4), 0);
    EXPECT_EQ(burst(small), 0U);
    EXPECT_EQ(small.in_use(), 4U);
    rte_pktmbuf_free_bulk(taken.data(), 4);
    ASSERT_EQ(burst(small), 1U);
    EXPECT_EQ(content(got[0]), frame.bytes);
    EXPECT_EQ(got[0]->tso_segsz, 500U);
    drop_got();
}

// The header is used as fetched. Fetch 4 is its first two bytes, 5 the others, 6 the frame.
TEST_F(UnfinishedFromGuest, HeaderRewrittenAfterTheCheck) {
    const Frame frame = make_frame({.payload = 1200});
    NetHeader hostile{};
    hostile.flags = net::kHeaderNeedsCsum;
    hostile.gso_type = net::kGsoTcp4;
    hostile.gso_size = 1;
    hostile.csum_start = 65535;
    // After the last fetch of the header. It is fetched in two parts if the frame is in the same
    // buffer.
    for (const bool single : {true, false}) {
        const size_t nth = single ? 6 : 5;
        send(
            large_of(frame, 100),
            frame.bytes,
            single ? std::vector<uint32_t>{} : std::vector<uint32_t>{12}
        );
        got.assign(1, nullptr);
        ledger.begin();
        const Iova at = place;
        ledger.after(nth, [&] { rig.memory.store(at, hostile); });
        count = net::from_guest(rig.ring, pool.get(), rules, std::span(got), counters);
        ASSERT_EQ(count, 1U);
        EXPECT_EQ(ledger.twice(), 0U);
        EXPECT_EQ(got[0]->tso_segsz, 100U);
        EXPECT_EQ(got[0]->l2_len + got[0]->l3_len, frame.l4_at());
        drop_got();
        rig.driver.take_used();
        place = kEnd;
    }
}

// A recycled mbuf has no flags or lengths of its last frame.
TEST_F(UnfinishedFromGuest, UsedMbufs) {
    Pool one(1);
    const Frame frame = make_frame({.payload = 1200});
    send(large_of(frame, 100), frame.bytes);
    ASSERT_EQ(burst(one), 1U);
    ASSERT_EQ(got[0]->tso_segsz, 100U);
    const rte_mbuf* const before = got[0];
    send({}, pattern(60));
    ASSERT_EQ(burst(one), 1U);
    EXPECT_EQ(got[0], before);
    EXPECT_EQ(got[0]->ol_flags, 0U);
    EXPECT_EQ(got[0]->tx_offload, 0U);
    EXPECT_EQ(got[0]->packet_type, 0U);
    drop_got();
}

// Each frame uses one large buffer, which is freed with the frame.
TEST_F(UnfinishedFromGuest, LargeBuffers) {
    auto buffers = LargeBuffers::create("large", 2, SOCKET_ID_ANY);
    ASSERT_TRUE(buffers);
    rules.large_buffers = buffers->get();
    rules.linear = true;
    const Frame frame = make_frame({.payload = 65000});
    const FrameBytes plain = pattern(60);
    for (const auto& sizes : std::vector<std::vector<uint32_t>>{{}, {12, 54, 4096}}) {
        for (int i = 0; i < 3; ++i)
            send(large_of(frame), frame.bytes, sizes);
        send({}, plain, sizes);
        ASSERT_EQ(burst(), 2U) << "the third waits for a buffer, and the fourth for the third";
        for (uint16_t i = 0; i < count; ++i) {
            EXPECT_EQ(content(got[i]), frame.bytes);
            EXPECT_EQ(got[i]->nb_segs, 1U);
            EXPECT_EQ(rte_mbuf_check(got[i], 1, nullptr), 0);
            EXPECT_EQ(rte_pktmbuf_headroom(got[i]), RTE_PKTMBUF_HEADROOM);
            EXPECT_EQ(got[i]->tso_segsz, kMss);
        }
        EXPECT_EQ(burst(), 2U);
        EXPECT_EQ(content(got[0]), frame.bytes);
        EXPECT_EQ(content(got[1]), plain);
        EXPECT_EQ(got[1]->ol_flags, 0U) << "what one mbuf holds needs none";
        drop_got();
    }
    EXPECT_EQ(counters.no_mbuf.read(), 2U);
    EXPECT_EQ(pool.in_use(), 0U);
    // Frames without segmentation may use large buffers too.
    rules.longest = 9720;
    const Frame jumbo = make_frame({.payload = 9000});
    send({}, jumbo.bytes);
    EXPECT_EQ(burst(), 1U);
    EXPECT_EQ(content(got[0]), jumbo.bytes);
    EXPECT_EQ(got[0]->nb_segs, 1U);
}

TEST_F(UnfinishedFromGuest, LargeBuffersOfDroppedFrames) {
    auto buffers = LargeBuffers::create("large", 1, SOCKET_ID_ANY);
    ASSERT_TRUE(buffers);
    rules.large_buffers = buffers->get();
    const Frame frame = make_frame({.payload = 5000});
    NetHeader bad = large_of(frame);
    bad.csum_start += 2;
    const FrameBytes plain = pattern(60);
    for (int i = 0; i < 3; ++i) {
        send(bad, frame.bytes);
        send({}, plain);
        send(large_of(frame), frame.bytes);
        ASSERT_EQ(burst(), 2U);
        EXPECT_EQ(content(got[0]), plain);
        EXPECT_EQ(got[0]->ol_flags, 0U);
        EXPECT_EQ(content(got[1]), frame.bytes);
    }
    drop_got();
    // Longer than the data length of one mbuf can be.
    const Frame longest = make_frame({.tags = {0x88a8, 0x8100}, .payload = 65535 - 40});
    send(large_of(longest), longest.bytes);
    expect_drop(Drop::too_long);
    const Frame fits = make_frame({.payload = LargeBuffers::kLongest - 54});
    send(large_of(fits), fits.bytes);
    ASSERT_EQ(burst(), 1U);
    EXPECT_EQ(content(got[0]), fits.bytes);
    EXPECT_EQ(rte_pktmbuf_headroom(got[0]), 0U);
}

// An application may keep frames longer than the port exists.
TEST_F(UnfinishedFromGuest, LargeBuffersOutliveTheirOwner) {
    auto buffers = LargeBuffers::create("large", 2, SOCKET_ID_ANY);
    ASSERT_TRUE(buffers);
    rules.large_buffers = buffers->get();
    const Frame frame = make_frame({.payload = 5000});
    send(large_of(frame), frame.bytes);
    ASSERT_EQ(burst(), 1U);
    buffers->reset();
    EXPECT_EQ(content(got[0]), frame.bytes);
    EXPECT_NE(rte_mempool_lookup("large"), nullptr);
    drop_got();
    EXPECT_EQ(rte_mempool_lookup("large"), nullptr);
}

TEST(LargeBuffers, NoMemory) {
    const auto buffers = LargeBuffers::create("large", 1U << 20, SOCKET_ID_ANY);
    ASSERT_FALSE(buffers);
    EXPECT_NE(buffers.error().text().find("buffers of 64 KiB"), std::string::npos);
}

}  // namespace
}  // namespace vduse::test
