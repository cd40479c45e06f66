// SPDX-License-Identifier: BSD-3-Clause

// vduse/offload.h: completed and segmented frames, compared with plain arithmetic
// (support/frames.h).
#include <gtest/gtest.h>

#include <random>

#include "support/eal.h"
#include "support/frames.h"
#include "vduse/offload.h"

namespace vduse::test {
namespace {

/// How an mbuf describes an unfinished frame: with Rx flags as received, or with an application's
/// Tx flags.
enum class Words : uint8_t { received, asked };

void say(rte_mbuf* mbuf, const Frame& frame, uint16_t mss, Words words) {
    if (words == Words::asked)
        return ask(mbuf, frame, mss);
    mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | (mss != 0 ? RTE_MBUF_F_RX_LRO : 0);
    say_lengths(mbuf, frame, mss);
}

/// A random frame. Large frames are TCP.
FrameSpec any_spec(std::mt19937& random, bool large) {
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    FrameSpec spec;
    spec.ipv4 = below(2) != 0;
    spec.tcp = large || below(2) != 0;
    const std::vector<uint16_t> tags[] = {{}, {0x8100}, {0x88a8, 0x8100}};
    spec.tags = tags[below(3)];
    spec.options = below(2) != 0 ? 0 : 8 * size_t{1 + below(5)};
    spec.tcp_options = spec.tcp ? 4 * size_t{below(11)} : 0;
    spec.tcp_flags = static_cast<uint8_t>(below(256));
    spec.seed = below(1000000);
    spec.id = static_cast<uint16_t>(below(65536));
    spec.seq = static_cast<uint32_t>(random());
    const size_t most = 65535 - 40 - spec.options - 60;
    const size_t sizes[] = {0, 1, 2, 3, below(100), below(1500), below(10000), below(65000), most};
    spec.payload = std::min(most, sizes[below(9)]);
    return spec;
}

std::vector<Offloads> subsets() {
    std::vector<Offloads> all;
    for (unsigned bits = 0; bits < 16; ++bits)
        all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
    return all;
}

class CompletionTest : public testing::Test {
  protected:
    Pool pool{4096, 256};
    Completion completion;

    /// Completes the frame, `room` mbufs at a time.
    std::vector<FrameBytes> complete(rte_mbuf* mbuf, const Offloads& offloads, size_t room = 32) {
        const auto drop = completion.begin(mbuf, offloads);
        EXPECT_EQ(drop, std::nullopt);
        std::vector<FrameBytes> made;
        std::vector<rte_mbuf*> out(room);
        while (completion.busy()) {
            const uint16_t count = completion.next(out);
            if (count == 0)
                ADD_FAILURE() << "the pool is empty";
            if (count == 0)
                completion.abandon();
            for (uint16_t i = 0; i < count; ++i) {
                EXPECT_EQ(rte_mbuf_check(out[i], 1, nullptr), 0);
                last_flags = out[i]->ol_flags;
                last_segsz = out[i]->tso_segsz;
                last_port = out[i]->port;
                made.push_back(content(out[i]));
                rte_pktmbuf_free(out[i]);
            }
        }
        EXPECT_EQ(completion.next(out), 0U);
        return made;
    }

    uint64_t last_flags = 0;
    uint16_t last_segsz = 0;
    uint16_t last_port = 0;
};

/// The expected frames for a receiver with `offloads`.
std::vector<FrameBytes> expected(
    const Frame& frame, uint16_t mss, const Offloads& offloads, Words words
) {
    const bool received = words == Words::received;
    if (mss != 0 && frame.bytes.size() - frame.headers() > mss) {
        const bool cwr = (frame.bytes[frame.l4_at() + 13] & 0x80) != 0;
        const bool taken =
            offloads.csum && (frame.ipv4 ? offloads.tso4 : offloads.tso6) && (offloads.ecn || !cwr);
        return received && taken ? std::vector<FrameBytes>{frame.bytes}
                                 : plain_segments(frame, mss);
    }
    return {received && offloads.csum ? frame.bytes : finished(frame)};
}

// The seed is fixed, so failures are reproducible.
TEST_F(CompletionTest, AnyFrameForAnybody) {
    std::mt19937 random(1);
    const auto everybody = subsets();
    for (int round = 0; round < 1500; ++round) {
        const bool large = random() % 2 != 0;
        const Frame frame = make_frame(any_spec(random, large));
        const auto mss = static_cast<uint16_t>(large ? 32 + random() % 3000 : 0);
        const Words words = random() % 2 != 0 ? Words::received : Words::asked;
        const Offloads& offloads = everybody[random() % everybody.size()];
        const size_t run = random() % 3 == 0 ? 1 + random() % 255 : 256 - random() % 2;
        if (frame.bytes.size() / run > 2000 || (mss != 0 && frame.bytes.size() / mss > 400))
            continue;
        FrameBytes bytes = frame.bytes;
        if (words == Words::asked)
            put16(bytes, frame.field(), random() & 0xffff);  // the pseudo-header sum is not needed
        rte_mbuf* mbuf = pool.frame(bytes, run);
        ASSERT_NE(mbuf, nullptr);
        say(mbuf, frame, mss, words);
        mbuf->port = 7;
        const auto made = complete(mbuf, offloads, 1 + random() % 70);
        const auto should = expected(frame, mss, offloads, words);
        ASSERT_EQ(made.size(), should.size()) << round;
        for (size_t i = 0; i < made.size(); ++i)
            ASSERT_EQ(made[i], should[i]) << round << ", segment " << i << " of " << made.size();
        EXPECT_EQ(last_port, 7U);
        ASSERT_EQ(pool.in_use(), 0U) << round;
    }
}

// A frame that nobody else holds is completed in its own mbufs.
TEST_F(CompletionTest, InPlaceWhereNobodyElseHoldsIt) {
    const Frame frame = make_frame({.payload = 1001});
    rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
    say(mbuf, frame, 0, Words::received);
    rte_mbuf* out[1];
    ASSERT_EQ(completion.begin(mbuf, {}), std::nullopt);
    ASSERT_EQ(completion.next(out), 1U);
    EXPECT_FALSE(completion.busy());
    EXPECT_EQ(out[0], mbuf);
    EXPECT_EQ(content(mbuf), finished(frame));
    EXPECT_EQ(mbuf->ol_flags, 0U) << "nothing is left";
    rte_pktmbuf_free(mbuf);
}

// Headers split over several mbufs cannot be changed in place.
TEST_F(CompletionTest, HeadersInManyMbufs) {
    const Frame frame = make_frame({.payload = 1001});
    rte_mbuf* mbuf = pool.frame(frame.bytes, 20);
    say(mbuf, frame, 0, Words::received);
    EXPECT_EQ(complete(mbuf, {}), std::vector<FrameBytes>{finished(frame)});
}

TEST_F(CompletionTest, SharedFramesAreNotChanged) {
    for (const uint16_t mss : {uint16_t{0}, uint16_t{100}})
        for (const bool clone : {false, true}) {
            const Frame frame = make_frame({.payload = 1001});
            rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
            say(mbuf, frame, mss, Words::received);
            rte_mbuf* mine = mbuf;
            if (clone)
                mine = rte_pktmbuf_clone(mbuf, pool.get());
            else
                rte_pktmbuf_refcnt_update(mbuf, 1);
            const auto should =
                mss == 0 ? std::vector<FrameBytes>{finished(frame)} : plain_segments(frame, mss);
            EXPECT_EQ(complete(mine, {}), should);
            EXPECT_EQ(content(mbuf), frame.bytes);
            EXPECT_NE(mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_NONE, 0U);
            rte_pktmbuf_free(mbuf);
            EXPECT_EQ(pool.in_use(), 0U);
        }
}

TEST_F(CompletionTest, AsItIsWhereNothingIsToBeDone) {
    const Frame frame = make_frame({.payload = 3000, .seed = 5});
    for (const uint64_t flags : {uint64_t{0}, uint64_t{RTE_MBUF_F_RX_L4_CKSUM_GOOD}}) {
        rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
        mbuf->ol_flags = flags;
        EXPECT_EQ(complete(mbuf, {}), std::vector<FrameBytes>{frame.bytes});
        EXPECT_EQ(last_flags, flags);
    }
    rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
    say(mbuf, frame, 500, Words::received);
    EXPECT_EQ(complete(mbuf, {true, true, false, false}), std::vector<FrameBytes>{frame.bytes});
    EXPECT_EQ(last_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
    EXPECT_EQ(last_segsz, 500U);
}

// Tx requests of an application are executed even if the receiver accepts unfinished checksums: a
// receiver of mbufs does not understand Tx flags.
TEST_F(CompletionTest, WhatIsAskedForIsDone) {
    for (const bool ip_csum : {false, true}) {
        const Frame frame = make_frame({.payload = 101});
        FrameBytes bytes = frame.bytes;
        if (ip_csum)
            put16(bytes, frame.l2 + 10, 0x1234);
        rte_mbuf* mbuf = pool.frame(bytes, 256);
        say(mbuf, frame, 0, Words::asked);
        if (ip_csum)
            mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
        EXPECT_EQ(
            complete(mbuf, {true, true, true, true}), std::vector<FrameBytes>{finished(frame)}
        );
        EXPECT_EQ(last_flags, 0U);
    }
}

// Large frames with an application's Tx flags, or from a port with a good checksum, lack the flags
// that a receiver understands. They are segmented.
TEST_F(CompletionTest, OtherWordsForLargeAreCut) {
    const Frame frame = make_frame({.payload = 3001});
    for (const bool asked : {true, false}) {
        FrameBytes bytes = asked ? frame.bytes : finished(frame);
        if (asked) {
            put16(bytes, frame.field(), 0);
            put16(bytes, frame.l2 + 10, 0);
        }
        rte_mbuf* mbuf = pool.frame(bytes, 256);
        say(mbuf, frame, 500, asked ? Words::asked : Words::received);
        if (!asked)
            mbuf->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
        EXPECT_EQ(complete(mbuf, {true, true, true, true}), plain_segments(frame, 500));
        EXPECT_EQ(last_flags, 0U);
    }
}

TEST_F(CompletionTest, PaddingIsNotSummed) {
    for (const bool ipv4 : {true, false}) {
        const Frame frame = make_frame({.ipv4 = ipv4, .tcp = false, .payload = 3});
        FrameBytes bytes = frame.bytes;
        bytes.resize(bytes.size() + 7, 0xaa);
        rte_mbuf* mbuf = pool.frame(bytes, 256);
        say(mbuf, frame, 0, Words::asked);
        FrameBytes should = finished(frame);
        should.resize(bytes.size(), 0xaa);
        EXPECT_EQ(complete(mbuf, {}), std::vector<FrameBytes>{should});
    }
}

TEST_F(CompletionTest, WrongLengthsOfTcp) {
    const Frame frame = make_frame({.tcp_options = 4, .payload = 301});
    for (const uint64_t l4 : {0U, 20U, 21U, 24U, 255U}) {
        rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
        say(mbuf, frame, 0, Words::asked);
        mbuf->l4_len = l4 & 0xff;
        EXPECT_EQ(complete(mbuf, {}), std::vector<FrameBytes>{finished(frame)}) << l4;
    }
}

// A UDP checksum is never zero, because zero means that there is none.
TEST_F(CompletionTest, UdpSumOfZero) {
    Frame frame = make_frame({.tcp = false, .payload = 2});
    const size_t payload = frame.headers();
    put16(frame.bytes, payload, 0);
    put16(frame.bytes, payload, get16(finished(frame), frame.field()));
    const FrameBytes should = finished(frame);
    ASSERT_EQ(get16(should, frame.field()), 0xffff);
    for (const Words words : {Words::received, Words::asked}) {
        rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
        say(mbuf, frame, 0, words);
        EXPECT_EQ(complete(mbuf, {}), std::vector<FrameBytes>{should});
    }
}

TEST_F(CompletionTest, RefusedFramesAreFreed) {
    const Frame frame = make_frame({.payload = 1001});
    rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
    say(mbuf, frame, 500, Words::asked);
    mbuf->l3_len = 24;
    EXPECT_EQ(completion.begin(mbuf, {}), Drop::bad_gso);
    EXPECT_FALSE(completion.busy());
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(CompletionTest, APoolThatRunsEmpty) {
    Pool small(24, 256);
    const Frame frame = make_frame({.payload = 2001});
    const auto should = plain_segments(frame, 100);
    rte_mbuf* mbuf = small.frame(frame.bytes, 256);
    say(mbuf, frame, 100, Words::received);
    ASSERT_EQ(completion.begin(mbuf, {}), std::nullopt);
    std::vector<FrameBytes> made;
    std::vector<rte_mbuf*> out(64);
    int empty = 0;
    while (completion.busy()) {
        const uint16_t count = completion.next(out);
        ASSERT_NE(count, 0U);
        if (completion.busy()) {
            ++empty;
            EXPECT_EQ(completion.next(std::span(out).subspan(count)), 0U);
            EXPECT_TRUE(completion.busy());
        }
        for (uint16_t i = 0; i < count; ++i) {
            made.push_back(content(out[i]));
            rte_pktmbuf_free(out[i]);
        }
    }
    EXPECT_GT(empty, 0);
    EXPECT_EQ(made, should);
}

// There is no second mbuf for a segment: its first one is freed.
TEST_F(CompletionTest, APoolThatRunsEmptyInASegment) {
    Pool small(16, 256);
    const Frame frame = make_frame({.payload = 2001});
    rte_mbuf* mbuf = small.frame(frame.bytes, 256);
    const unsigned own = mbuf->nb_segs;
    say(mbuf, frame, 1900, Words::received);
    ASSERT_EQ(completion.begin(mbuf, {}), std::nullopt);
    std::vector<rte_mbuf*> out(4);
    EXPECT_EQ(completion.next(out), 0U);
    EXPECT_TRUE(completion.busy());
    EXPECT_EQ(small.in_use(), own);
    EXPECT_EQ(completion.abandon(), 2U);
    EXPECT_FALSE(completion.busy());
    EXPECT_EQ(small.in_use(), 0U);
}

TEST_F(CompletionTest, Abandoned) {
    const Frame frame = make_frame({.payload = 2001});
    EXPECT_EQ(completion.abandon(), 0U);
    for (const uint16_t taken : {uint16_t{0}, uint16_t{1}, uint16_t{20}}) {
        rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
        say(mbuf, frame, 100, Words::received);
        ASSERT_EQ(completion.begin(mbuf, {}), std::nullopt);
        EXPECT_EQ(completion.segments(), 21U);
        std::vector<rte_mbuf*> out(taken);
        ASSERT_EQ(completion.next(out), taken);
        rte_pktmbuf_free_bulk(out.data(), taken);
        EXPECT_EQ(completion.abandon(), 21U - taken);
        EXPECT_EQ(pool.in_use(), 0U);
    }
    rte_mbuf* mbuf = pool.frame(frame.bytes, 256);
    ASSERT_EQ(completion.begin(mbuf, {}), std::nullopt);
    EXPECT_EQ(completion.abandon(), 1U);
    mbuf = pool.frame(frame.bytes, 256);
    {
        Completion gone;
        ASSERT_EQ(gone.begin(mbuf, {}), std::nullopt);
    }
    EXPECT_EQ(pool.in_use(), 0U);
}

// ---- the Segmenter alone

// For a driver that accepts unfinished checksums but not large frames.
TEST_F(CompletionTest, SegmentsThatLeaveTheirChecksum) {
    const Frame frame =
        make_frame({.options = 8, .tcp_options = 12, .tcp_flags = 0x99, .payload = 2345});
    rte_mbuf* mbuf = pool.frame(frame.bytes, 100);
    say(mbuf, frame, 300, Words::received);
    Unfinished what;
    ASSERT_EQ(read_unfinished(*mbuf, what), std::nullopt);
    Segmenter segmenter(*mbuf, what, true, false);
    const auto should = plain_segments(frame, 300, false);
    ASSERT_EQ(segmenter.count(), should.size());
    for (size_t i = 0; i < should.size(); ++i)
        for (int again = 0; again < 2; ++again) {
            const auto segment = segmenter.next();
            FrameBytes bytes(segment.head.begin(), segment.head.end());
            const auto from = frame.bytes.begin() + segment.payload;
            bytes.insert(bytes.end(), from, from + segment.bytes);
            EXPECT_EQ(bytes, should[i]) << i;
            EXPECT_EQ(segment.size(), should[i].size());
            EXPECT_EQ(segmenter.left(), should.size() - i - 1);
            if (again == 0)
                segmenter.back();
        }
    EXPECT_EQ(content(mbuf), frame.bytes);
    rte_pktmbuf_free(mbuf);
}

}  // namespace
}  // namespace vduse::test
