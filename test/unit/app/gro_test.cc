// SPDX-License-Identifier: BSD-3-Clause

// Gro: which segments of a burst are merged, and the headers and flags of the merged frame.
#include "app/datapath/gro.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/eal.h"
#include "support/frames.h"
#include "vduse/offload.h"

namespace vduse::app {
namespace {

using test::finished;
using test::Frame;
using test::FrameBytes;
using test::FrameSpec;
using test::make_frame;
using test::put16;

constexpr size_t kMss = 1000;
constexpr uint8_t kAck = 0x10;

class GroTest : public testing::Test {
  protected:
    test::Pool pool{256};
    std::unique_ptr<Gro> gro;
    std::vector<rte_mbuf*> burst;
    std::span<rte_mbuf*> left;

    void SetUp() override {
        auto created = Gro::create(0);
        ASSERT_TRUE(created);
        gro = std::move(*created);
    }
    void TearDown() override { clear(); }
    void clear() {
        for (rte_mbuf* const frame : left)
            rte_pktmbuf_free(frame);
        left = {};
        burst.clear();
    }

    rte_mbuf* give(const FrameBytes& bytes, uint64_t flags = 0) {
        rte_mbuf* const frame = pool.frame(bytes);
        EXPECT_NE(frame, nullptr);
        frame->ol_flags |= flags;
        burst.push_back(frame);
        return frame;
    }
    /// Adds the segments of `whole` to the burst, as on the wire.
    void give_segments(const Frame& whole) {
        for (const FrameBytes& segment : test::plain_segments(whole, kMss))
            give(segment);
    }
    void merge() { left = gro->merge(burst); }
    [[nodiscard]] std::vector<FrameBytes> contents() const {
        std::vector<FrameBytes> all;
        for (const rte_mbuf* const frame : left)
            all.push_back(test::content(frame));
        return all;
    }
    void expect_unchanged(const char* what) {
        std::vector<FrameBytes> before;
        for (const rte_mbuf* const frame : burst)
            before.push_back(test::content(frame));
        merge();
        EXPECT_EQ(contents(), before) << what;
        clear();
    }
};

FrameSpec data(size_t payload, unsigned seed = 1) {
    return {.tcp_options = 12, .tcp_flags = kAck, .payload = payload, .seed = seed};
}

TEST_F(GroTest, SegmentsBecomeTheFrameThatTheyWereCutFrom) {
    const Frame whole = make_frame(data(kMss * 20 + 300));
    give_segments(whole);
    merge();
    ASSERT_EQ(left.size(), 1U);
    const rte_mbuf& frame = *left[0];
    EXPECT_EQ(test::content(&frame), whole.bytes) << "lengths and sums, too";
    EXPECT_EQ(rte_mbuf_check(&frame, 1, nullptr), 0);
    EXPECT_EQ(frame.ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
    EXPECT_EQ(frame.tso_segsz, kMss);
    Unfinished what;
    ASSERT_EQ(read_unfinished(frame, what), std::nullopt);
    EXPECT_EQ(what.segment, kMss);
    EXPECT_TRUE(what.large_for({true, true, false, false}));
}

TEST_F(GroTest, EachConnectionForItself) {
    std::vector<FrameBytes> wholes;
    std::vector<std::vector<FrameBytes>> segments;
    for (unsigned seed = 1; seed <= 4; ++seed) {
        const Frame whole = make_frame(data(kMss * 8, seed));
        wholes.push_back(whole.bytes);
        segments.push_back(test::plain_segments(whole, kMss));
    }
    for (size_t i = 0; i < 8; ++i)
        for (const auto& connection : segments)
            give(connection[i]);
    merge();
    EXPECT_EQ(contents(), wholes);
}

// A full burst with one connection per frame leaves no state: the next burst is merged as usual.
TEST_F(GroTest, NothingStaysBehind) {
    for (int round = 0; round < 3; ++round) {
        for (unsigned seed = 1; seed <= Gro::kBurst; ++seed)
            give(finished(make_frame(data(100, seed))));
        expect_unchanged("thirty-two connections");
    }
    const Frame whole = make_frame(data(kMss * 2));
    const auto segments = test::plain_segments(whole, kMss);
    give(segments[0]);
    expect_unchanged("its rest comes in the next burst");
    give(segments[1]);
    expect_unchanged("the rest");
}

// The last segment has PSH and is not merged. It stays in order after the merged ones.
TEST_F(GroTest, NothingIsOvertaken) {
    FrameSpec spec = data(kMss * 4);
    spec.tcp_flags = 0x18;
    const auto first = test::plain_segments(make_frame(spec), kMss);
    spec.seq += 4 * kMss;
    const auto second = test::plain_segments(make_frame(spec), kMss);
    for (const auto& segments : {first, second})
        for (const FrameBytes& segment : segments)
            give(segment);
    merge();
    ASSERT_EQ(left.size(), 4U);
    EXPECT_EQ(left[0]->nb_segs, 3);
    EXPECT_EQ(test::content(left[1]), first[3]);
    EXPECT_EQ(left[2]->nb_segs, 3);
    EXPECT_EQ(test::content(left[3]), second[3]);
}

TEST_F(GroTest, WhatMustNotBeMerged) {
    const auto two = [&](auto change, bool valid = true) {
        const auto segments = test::plain_segments(make_frame(data(2 * kMss)), kMss);
        Frame second = make_frame(data(kMss));
        second.bytes = segments[1];
        change(second);
        give(segments[0]);
        if (valid) {
            test::plain_ip(second, test::get16(second.bytes, second.l2 + 4));
            second.bytes = finished(second);
        }
        give(second.bytes);
    };
    two([](Frame&) {});
    merge();
    EXPECT_EQ(left.size(), 1U) << "the others differ by one thing each";
    clear();
    two([](Frame& f) { f.bytes[f.l2 + 1] = 3; });
    expect_unchanged("congestion that was met");
    two([](Frame& f) { f.bytes[f.l2 + 8] = 63; });
    expect_unchanged("another time to live");
    two([](Frame& f) { put16(f.bytes, f.l2 + 6, 0x2000); });
    expect_unchanged("a fragment");
    two([](Frame& f) { f.bytes[f.l4_at() + 13] = 0x11; });
    expect_unchanged("the last one of a connection");
    two([](Frame& f) { f.bytes[f.l4_at() + 7] ^= 1; });
    expect_unchanged("a gap");
    two([](Frame& f) { f.bytes[f.l4_at() + 20] ^= 1; });
    expect_unchanged("other options");
    two([](Frame& f) { f.bytes[f.l2 + 12] ^= 1; });
    expect_unchanged("another sender");
    two([](Frame& f) { f.bytes.back() ^= 1; }, false);
    expect_unchanged("a wrong sum");
    two([](Frame& f) { f.bytes[f.l2 + 10] ^= 1; }, false);
    expect_unchanged("a wrong sum of the IP header");
    two([](Frame& f) { f.bytes.push_back(0); }, false);
    expect_unchanged("padding");
    two([](Frame& f) { f.bytes.resize(f.bytes.size() - 1); }, false);
    expect_unchanged("an end that is missing");
    two([](Frame& f) { f.bytes.resize(f.l4_at() + 19); }, false);
    expect_unchanged("a header that is cut off");
    two([](Frame& f) { f.bytes[f.l4_at() + 12] = 0xf0; });
    give(finished(make_frame(data(20))));
    expect_unchanged("another length of the header");
}

TEST_F(GroTest, OtherFramesAreLeftAlone) {
    for (const FrameSpec& spec :
         {FrameSpec{.ipv4 = false, .tcp_flags = kAck, .payload = 2 * kMss},
          FrameSpec{.tags = {0x8100}, .tcp_flags = kAck, .payload = 2 * kMss},
          FrameSpec{.options = 4, .tcp_flags = kAck, .payload = 2 * kMss}}) {
        give_segments(make_frame(spec));
        expect_unchanged("IPv6, tagged, IP options");
    }
    for (int i = 0; i < 2; ++i)
        give(finished(make_frame({.tcp = false, .payload = kMss})));
    expect_unchanged("UDP");
    for (int i = 0; i < 2; ++i)
        give(finished(make_frame(data(0))));
    expect_unchanged("no data");
    give(test::pattern(14));
    give(test::pattern(54));
    expect_unchanged("short");
}

// Checksum flags of the port are trusted. Without flags the checksum is verified.
TEST_F(GroTest, SumsThatThePortLookedAt) {
    const Frame whole = make_frame(data(3 * kMss));
    for (const FrameBytes& segment : test::plain_segments(whole, kMss, false))
        give(segment, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
    merge();
    EXPECT_EQ(contents(), std::vector<FrameBytes>{whole.bytes});
    clear();
    for (const uint64_t flag : {RTE_MBUF_F_RX_L4_CKSUM_BAD, RTE_MBUF_F_RX_L4_CKSUM_NONE}) {
        for (const FrameBytes& segment : test::plain_segments(whole, kMss))
            give(segment, flag);
        expect_unchanged("bad, or left to us");
    }
    const auto segments = test::plain_segments(whole, kMss);
    give(segments[0]);
    give(segments[2]);
    merge();
    ASSERT_EQ(left.size(), 2U);
    EXPECT_EQ(left[0]->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD) << "somebody has looked now";
}

TEST_F(GroTest, FramesOfOthersAreNotChanged) {
    const Frame whole = make_frame(data(2 * kMss));
    give_segments(whole);
    rte_mbuf_refcnt_update(burst[1], 1);
    rte_mbuf* const shared = burst[1];
    expect_unchanged("one that is elsewhere, too");
    rte_pktmbuf_free(shared);
}

// Segments of different length: tso_segsz is that of the longest, so that resegmenting makes no
// longer one.
TEST_F(GroTest, TheLongestSegmentCounts) {
    FrameSpec spec = data(400);
    give(finished(make_frame(spec)));
    spec.seq += 400;
    spec.payload = 900;
    spec.seed = 1;
    give(finished(make_frame(spec)));
    merge();
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left[0]->tso_segsz, 900);
}

TEST_F(GroTest, NotLongerThanIpCanSay) {
    test::Pool large{64, 9000};
    FrameSpec spec = data(8000);
    size_t bytes = 0;
    for (int i = 0; i < 12; ++i) {
        const FrameBytes frame = finished(make_frame(spec));
        burst.push_back(large.frame(frame, 9000));
        bytes += spec.payload;
        spec.seq += 8000;
    }
    merge();
    ASSERT_EQ(left.size(), 2U);
    for (const rte_mbuf* const frame : left) {
        EXPECT_LE(frame->pkt_len, 65535U + 14);
        bytes -= frame->pkt_len - 14 - 20 - 32;
    }
    EXPECT_EQ(bytes, 0U);
    clear();
}

}  // namespace
}  // namespace vduse::app
