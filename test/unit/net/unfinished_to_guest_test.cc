// SPDX-License-Identifier: BSD-3-Clause

// net/to_guest.h: unfinished frames, for drivers with and without offloads.
#include <gtest/gtest.h>

#include <vector>

#include "net/to_guest.h"
#include "support/eal.h"
#include "support/fetch_ledger.h"
#include "support/frames.h"
#include "support/ring_rig.h"

namespace vduse::test {
namespace {

using memory::Iova;
using net::NetHeader;

constexpr uint16_t kMss = 1000;
constexpr Iova kMany = 0x1000'0000;
constexpr uint32_t kManyBytes = 0x40'0000;

class UnfinishedToGuest : public testing::Test {
  protected:
    struct Got {
        NetHeader header;
        FrameBytes bytes;
    };

    RingRig rig;
    Pool pool{1024};
    net::QueueCounters counters;
    net::Filter filter;
    net::QueueRules rules{1522, true, &filter};
    FetchLedger ledger;
    std::vector<std::pair<Iova, uint32_t>> offered;  ///< in the order of the chains
    Iova next = kMany;

    UnfinishedToGuest() { setup(256); }
    void setup(uint32_t size) {
        std::destroy_at(&rig);
        std::construct_at(&rig, RingRig::Setup{.size = size});
        rig.memory.add_bytes(kMany, kManyBytes);
        EXPECT_EQ(rig.reload(), ring::LoadError::none);
        offered.clear();
        next = kMany;
    }
    /// Offers `count` chains with `descriptors` buffers of `bytes` each.
    void offer(size_t count, uint32_t bytes, size_t descriptors = 1) {
        for (size_t i = 0; i < count; ++i) {
            std::vector<Buffer> buffers;
            const Iova at = next;
            for (size_t j = 0; j < descriptors; ++j) {
                buffers.push_back({next, bytes, true});
                next += bytes;
            }
            ASSERT_TRUE(rig.driver.offer(buffers));
            offered.emplace_back(at, static_cast<uint32_t>(bytes * descriptors));
        }
        rig.driver.publish();
    }
    /// Gives the device one frame that is also held elsewhere. Returns whether it takes it.
    bool deliver(rte_mbuf* frame) {
        rte_pktmbuf_refcnt_update(frame, 1);
        const FrameBytes before = content(frame);
        const uint64_t flags = frame->ol_flags;
        ledger.begin();
        std::vector<rte_mbuf*> frames = {frame};
        const uint16_t done = net::to_guest(rig.ring, rules, std::span(frames), counters);
        EXPECT_EQ(ledger.twice(), 0U);
        EXPECT_EQ(content(frame), before) << "it is another's, too";
        EXPECT_EQ(frame->ol_flags, flags);
        if (done == 0)
            rte_pktmbuf_free(frame);
        EXPECT_EQ(rte_mbuf_refcnt_read(frame), 1);
        rte_pktmbuf_free(frame);
        EXPECT_EQ(pool.in_use(), 0U);
        return done == 1;
    }
    /// The frames that the driver receives.
    std::vector<Got> take() {
        std::vector<Got> all;
        uint16_t left = 0;
        while (const auto used = rig.driver.take_used()) {
            FrameBytes part(used->len);
            rig.memory.read(offered.front().first, part.data(), part.size());
            EXPECT_LE(used->len, offered.front().second);
            offered.erase(offered.begin());
            if (part.empty())
                continue;
            if (left == 0) {
                EXPECT_GE(part.size(), sizeof(NetHeader));
                Got got{};
                std::memcpy(&got.header, part.data(), sizeof got.header);
                left = got.header.num_buffers;
                part.erase(part.begin(), part.begin() + sizeof(NetHeader));
                all.push_back(got);
            }
            all.back().bytes.insert(all.back().bytes.end(), part.begin(), part.end());
            --left;
        }
        EXPECT_EQ(left, 0U);
        return all;
    }
    rte_mbuf* received(const Frame& frame, uint16_t mss = 0, size_t run = Pool::kRoom) {
        rte_mbuf* mbuf = pool.frame(frame.bytes, run);
        mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | (mss != 0 ? RTE_MBUF_F_RX_LRO : 0);
        say_lengths(mbuf, frame, mss);
        return mbuf;
    }
    rte_mbuf* asked(Frame frame, uint16_t mss = 0, size_t run = Pool::kRoom) {
        put16(frame.bytes, frame.field(), 0x1234);
        rte_mbuf* mbuf = received(frame, mss, run);
        mbuf->ol_flags = frame.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
        mbuf->ol_flags |= mss != 0    ? RTE_MBUF_F_TX_TCP_SEG
                          : frame.tcp ? RTE_MBUF_F_TX_TCP_CKSUM
                                      : RTE_MBUF_F_TX_UDP_CKSUM;
        return mbuf;
    }
    static void expect_left(const Got& got, const Frame& frame) {
        EXPECT_EQ(got.header.flags, net::kHeaderNeedsCsum);
        EXPECT_EQ(got.header.csum_start, frame.l4_at());
        EXPECT_EQ(got.header.csum_offset, frame.tcp ? 16 : 6);
    }
    static void expect_nothing(const Got& got) {
        EXPECT_EQ(got.header.flags, 0);
        EXPECT_EQ(got.header.gso_type, 0);
        EXPECT_EQ(got.header.gso_size, 0U);
        EXPECT_EQ(got.header.csum_start, 0U);
    }
    [[nodiscard]] uint64_t drops(Drop reason) const {
        return counters.drops[static_cast<size_t>(reason)].read();
    }
};

TEST_F(UnfinishedToGuest, ChecksumsForWhoTakesThem) {
    rules.offloads.csum = true;
    for (const bool tcp : {true, false})
        for (const bool ipv4 : {true, false})
            for (const uint32_t buffer : {2048U, 200U})
                for (const bool asks : {false, true}) {
                    const Frame frame = make_frame({.ipv4 = ipv4, .tcp = tcp, .payload = 901});
                    setup(256);
                    offer(8, buffer);
                    ASSERT_TRUE(deliver(asks ? asked(frame, 0, 77) : received(frame, 0, 77)));
                    const auto got = take();
                    ASSERT_EQ(got.size(), 1U);
                    EXPECT_EQ(got[0].bytes, frame.bytes);
                    expect_left(got[0], frame);
                    EXPECT_EQ(got[0].header.gso_type, net::kGsoNone);
                }
    EXPECT_EQ(counters.csum.read(), 16U);
    EXPECT_EQ(counters.csum_done.read(), 0U);
    EXPECT_EQ(counters.frames.read(), 16U);
}

TEST_F(UnfinishedToGuest, ChecksumsForWhoDoesNot) {
    for (const bool mergeable : {true, false})
        for (const bool tcp : {true, false})
            for (const uint32_t buffer : {2048U, 200U})
                for (const bool asks : {false, true}) {
                    const Frame frame = make_frame({.tcp = tcp, .payload = 901});
                    setup(256);
                    rules.mergeable = mergeable;
                    offer(8, mergeable ? buffer : 1024);
                    ASSERT_TRUE(deliver(asks ? asked(frame, 0, 77) : received(frame, 0, 77)));
                    const auto got = take();
                    ASSERT_EQ(got.size(), 1U);
                    EXPECT_EQ(got[0].bytes, finished(frame));
                    expect_nothing(got[0]);
                }
    EXPECT_EQ(counters.csum.read(), 0U);
    EXPECT_EQ(counters.csum_done.read(), 16U);
}

TEST_F(UnfinishedToGuest, LargeForWhoTakesIt) {
    size_t bytes = 0;
    for (const bool ipv4 : {true, false})
        for (const bool cwr : {false, true})
            for (const bool asks : {false, true}) {
                const Frame frame = make_frame(
                    {.ipv4 = ipv4,
                     .tcp_options = 12,
                     .tcp_flags = static_cast<uint8_t>(cwr ? 0x98 : 0x18),
                     .payload = 20001}
                );
                setup(256);
                rules.offloads = {true, ipv4, !ipv4, cwr};
                offer(30, 1500);
                ASSERT_TRUE(deliver(asks ? asked(frame, kMss) : received(frame, kMss)));
                const auto got = take();
                ASSERT_EQ(got.size(), 1U);
                EXPECT_EQ(got[0].bytes, frame.bytes);
                expect_left(got[0], frame);
                EXPECT_EQ(
                    got[0].header.gso_type,
                    (ipv4 ? net::kGsoTcp4 : net::kGsoTcp6) | (cwr ? net::kGsoEcn : 0)
                );
                EXPECT_EQ(got[0].header.gso_size, kMss);
                EXPECT_EQ(got[0].header.hdr_len, frame.headers());
                bytes += frame.bytes.size();
            }
    EXPECT_EQ(counters.large.read(), 8U);
    EXPECT_EQ(counters.large_bytes.read(), bytes);
    EXPECT_EQ(counters.cut.read(), 0U);
}

TEST_F(UnfinishedToGuest, LargeForWhoDoesNot) {
    for (const bool csum : {false, true})
        for (const bool ipv4 : {true, false})
            for (const uint32_t buffer : {2048U, 300U})
                for (const bool asks : {false, true}) {
                    const Frame frame =
                        make_frame({.ipv4 = ipv4, .tcp_flags = 0x99, .payload = 20001});
                    setup(256);
                    // Each lacks one feature that the frame needs.
                    rules.offloads = csum ? Offloads{true, !ipv4, ipv4, true}
                                          : Offloads{false, true, true, true};
                    offer(120, buffer);
                    ASSERT_TRUE(deliver(asks ? asked(frame, kMss, 999) : received(frame, kMss, 999))
                    );
                    const auto got = take();
                    const auto should = plain_segments(frame, kMss, !csum);
                    ASSERT_EQ(got.size(), should.size());
                    for (size_t i = 0; i < got.size(); ++i) {
                        EXPECT_EQ(got[i].bytes, should[i]) << i;
                        EXPECT_EQ(got[i].header.gso_type, 0);
                        if (csum)
                            expect_left(got[i], frame);
                        else
                            expect_nothing(got[i]);
                    }
                }
    EXPECT_EQ(counters.cut.read(), 16U);
    EXPECT_EQ(counters.large.read(), 0U);
    EXPECT_EQ(counters.large_bytes.read(), 0U);
    EXPECT_EQ(counters.frames.read(), 16U * 21);
}

TEST_F(UnfinishedToGuest, CwrIsForWhoTakesEcn) {
    const Frame frame = make_frame({.tcp_flags = 0x98, .payload = 3001});
    rules.offloads = {true, true, true, false};
    offer(8, 2048);
    ASSERT_TRUE(deliver(received(frame, kMss)));
    EXPECT_EQ(take().size(), 4U);
}

// Either all segments are delivered or none.
TEST_F(UnfinishedToGuest, TooFewBuffersNow) {
    rules.mergeable = false;
    const Frame frame = make_frame({.payload = 10000});
    offer(9, 2048);
    EXPECT_FALSE(deliver(received(frame, kMss)));
    EXPECT_EQ(rig.driver.used_idx(), 0) << "nothing is placed";
    EXPECT_EQ(counters.frames.read(), 0U);
    EXPECT_EQ(counters.no_buffer.read(), 1U);
    offer(1, 2048);
    EXPECT_TRUE(deliver(received(frame, kMss)));
    EXPECT_EQ(take().size(), 10U);
    EXPECT_EQ(drops(Drop::no_room), 0U);
}

// The ring is full, so no more buffers can come. A chain has as many descriptors as with Linux
// without MRG_RXBUF.
TEST_F(UnfinishedToGuest, AFullRingThatHasTooFewBuffers) {
    rules.mergeable = false;
    const Frame frame = make_frame({.payload = 45000});
    offer(14, 4096, 18);
    ASSERT_LT(rig.driver.free(), 18U);
    EXPECT_TRUE(deliver(received(frame, kMss))) << "waiting would block the queue for ever";
    const auto got = take();
    const auto should = plain_segments(frame, kMss);
    ASSERT_EQ(got.size(), 14U);
    for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(got[i].bytes, should[i]);
    EXPECT_EQ(drops(Drop::no_room), 45U - 14);
}

TEST_F(UnfinishedToGuest, ASmallRing) {
    setup(4);
    const Frame frame = make_frame({.payload = 10000});
    offer(4, 2048);
    EXPECT_TRUE(deliver(received(frame, kMss)));
    EXPECT_EQ(take().size(), 4U);
    EXPECT_EQ(drops(Drop::no_room), 6U);
}

TEST_F(UnfinishedToGuest, SegmentsThatAreTooLong) {
    const Frame frame = make_frame({.payload = 10000});
    offer(30, 2048);
    rules.longest = static_cast<uint32_t>(frame.headers() + kMss);
    EXPECT_TRUE(deliver(received(frame, kMss)));
    EXPECT_EQ(take().size(), 10U);
    rules.longest -= 1;
    EXPECT_TRUE(deliver(received(frame, kMss)));
    EXPECT_TRUE(take().empty());
    EXPECT_EQ(drops(Drop::too_long), 1U);
}

TEST_F(UnfinishedToGuest, Refused) {
    offer(30, 2048);
    const Frame frame = make_frame({.payload = 1400});
    rte_mbuf* mbuf = asked(frame);
    mbuf->l3_len = 24;
    EXPECT_TRUE(deliver(mbuf));
    EXPECT_EQ(drops(Drop::bad_csum), 1U);
    mbuf = asked(frame, 100);
    mbuf->l4_len = 8;
    EXPECT_TRUE(deliver(mbuf));
    EXPECT_EQ(drops(Drop::bad_gso), 1U);
    filter.promiscuous = false;
    filter.mac = {2, 9, 9, 9, 9, 9};
    EXPECT_TRUE(deliver(received(frame, 100)));
    EXPECT_EQ(drops(Drop::filtered), 1U);
    EXPECT_TRUE(take().empty());
}

TEST_F(UnfinishedToGuest, DataValid) {
    const Frame frame = make_frame({.payload = 901});
    for (const bool csum : {false, true})
        for (const size_t run : {size_t{2048}, size_t{100}})
            for (const uint64_t flags : std::initializer_list<uint64_t>{
                     0, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD}) {
                rules.offloads = {csum, csum, csum, csum};
                offer(1, 2048);
                rte_mbuf* mbuf = pool.frame(finished(frame), run);
                mbuf->ol_flags = flags;
                ASSERT_TRUE(deliver(mbuf));
                const auto got = take();
                ASSERT_EQ(got.size(), 1U);
                EXPECT_EQ(got[0].bytes, finished(frame));
                const bool valid = csum && flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
                EXPECT_EQ(got[0].header.flags, valid ? net::kHeaderDataValid : 0);
            }
}

// The IP header checksum is always computed: no driver does it.
TEST_F(UnfinishedToGuest, IpChecksum) {
    for (const bool csum : {false, true}) {
        Frame frame = make_frame({.payload = 901});
        const FrameBytes should = csum ? frame.bytes : finished(frame);
        rules.offloads.csum = csum;
        offer(1, 2048);
        put16(frame.bytes, frame.l2 + 10, 0);
        rte_mbuf* mbuf = asked(frame);
        mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
        ASSERT_TRUE(deliver(mbuf));
        const auto got = take();
        ASSERT_EQ(got.size(), 1U);
        EXPECT_EQ(got[0].bytes, should);
    }
}

// A frame in one mbuf takes the fast path, one in several does not.
TEST_F(UnfinishedToGuest, TheHeaderIsTheSameOnEitherPath) {
    rules.offloads = {.csum = true};
    for (const bool tcp : {true, false})
        for (const bool ipv4 : {true, false})
            for (const bool zero : {false, true}) {
                Frame frame = make_frame({.ipv4 = ipv4, .tcp = tcp});
                if (zero)
                    put16(frame.bytes, frame.field(), 0);
                offer(2, 2048);
                ASSERT_TRUE(deliver(received(frame)));
                ASSERT_TRUE(deliver(received(frame, 0, 50)));
                const auto got = take();
                ASSERT_EQ(got.size(), 2U);
                // In UDP, zero means that there is no checksum.
                const bool left = tcp || !zero;
                for (const Got& one : got) {
                    EXPECT_EQ(one.bytes, frame.bytes);
                    EXPECT_EQ(one.header.flags, left ? net::kHeaderNeedsCsum : 0);
                    EXPECT_EQ(one.header.gso_type, net::kGsoNone);
                    EXPECT_EQ(one.header.csum_start, left ? frame.l4_at() : 0U);
                    EXPECT_EQ(one.header.csum_offset, left ? (tcp ? 16 : 6) : 0);
                    EXPECT_EQ(one.header.num_buffers, 1);
                }
            }
    EXPECT_EQ(counters.csum.read(), 12U);
}

// A TCP header that is too short, or that ends behind the frame, has no checksum to compute.
TEST_F(UnfinishedToGuest, WrongTcpHeadersOnEitherPath) {
    rules.offloads = {.csum = true};
    for (const uint8_t words : {uint8_t{4}, uint8_t{15}}) {
        Frame frame = make_frame({.ipv4 = false, .payload = 10});
        frame.bytes[frame.l4_at() + 12] = static_cast<uint8_t>(words << 4);
        offer(2, 2048);
        for (const size_t run : {size_t{Pool::kRoom}, size_t{50}}) {
            rte_mbuf* const mbuf = pool.frame(frame.bytes, run);
            mbuf->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
            ASSERT_TRUE(deliver(mbuf));
        }
        for (const Got& one : take()) {
            EXPECT_EQ(one.bytes, frame.bytes);
            EXPECT_EQ(one.header.flags, 0);
            EXPECT_EQ(one.header.csum_start, 0);
        }
    }
    EXPECT_EQ(counters.csum.read(), 0U);
}

}  // namespace
}  // namespace vduse::test
