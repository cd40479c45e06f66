// SPDX-License-Identifier: BSD-3-Clause

// net/offload.h: the requests of a virtio-net header translated to mbuf flags and back, and which
// ones are refused.
#include "net/offload.h"

#include <gtest/gtest.h>

#include <optional>

#include "support/eal.h"
#include "support/frames.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using net::NetHeader;
using MaybeDrop = std::optional<Drop>;

constexpr Offloads kAll = {true, true, true, true};
constexpr uint16_t kMss = 1000;

class Offload : public testing::Test {
  protected:
    Pool pool{1024};
    rte_mbuf* mbuf = nullptr;
    net::Decoded decoded;
    Offloads negotiated = kAll;

    ~Offload() override { rte_pktmbuf_free(mbuf); }

    rte_mbuf* put(const FrameBytes& bytes, size_t run = Pool::kRoom) {
        rte_pktmbuf_free(mbuf);
        mbuf = pool.frame(bytes, run);
        return mbuf;
    }
    MaybeDrop decode(const NetHeader& header, const FrameBytes& bytes, size_t run = Pool::kRoom) {
        decoded = {};
        return net::decode(header, negotiated, *put(bytes, run), decoded);
    }
    /// Checks that the frame is complete and has these bytes.
    void expect_finished(const FrameBytes& bytes) const {
        EXPECT_TRUE(decoded.finished);
        EXPECT_FALSE(decoded.csum || decoded.large);
        EXPECT_EQ(mbuf->ol_flags, 0U);
        EXPECT_EQ(mbuf->tx_offload, 0U);
        EXPECT_EQ(content(mbuf), bytes);
    }
    MaybeDrop read(Unfinished& what) const { return read_unfinished(*mbuf, what); }
};

NetHeader asks_csum(const Frame& frame) {
    NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    header.csum_start = static_cast<uint16_t>(frame.l4_at());
    header.csum_offset = frame.tcp ? 16 : 6;
    return header;
}
NetHeader asks_segments(const Frame& frame, uint16_t mss = kMss) {
    NetHeader header = asks_csum(frame);
    header.gso_type = frame.ipv4 ? net::kGsoTcp4 : net::kGsoTcp6;
    header.gso_size = mss;
    return header;
}

/// One frame of each kind that mbuf flags can describe.
std::vector<FrameSpec> kinds() {
    std::vector<FrameSpec> specs;
    for (const bool ipv4 : {true, false})
        for (const bool tcp : {true, false})
            for (const size_t options : {0U, 8U, 40U})
                for (const auto& tags :
                     {std::vector<uint16_t>{},
                      {0x8100},
                      {0x88a8},
                      {0x88a8, 0x8100},
                      {0x8100, 0x8100}})
                    specs.push_back(
                        {.ipv4 = ipv4,
                         .tcp = tcp,
                         .tags = tags,
                         .options = options,
                         .tcp_options = tcp ? options / 2 : 0,
                         .payload = 3333}
                    );
    return specs;
}

// ---- checksums

TEST_F(Offload, AChecksumIsLeft) {
    for (const FrameSpec& spec : kinds()) {
        const Frame frame = make_frame(spec);
        for (const size_t run : {size_t{2048}, size_t{23}}) {
            ASSERT_EQ(decode(asks_csum(frame), frame.bytes, run), std::nullopt);
            EXPECT_TRUE(decoded.csum);
            EXPECT_FALSE(decoded.large || decoded.finished);
            EXPECT_EQ(mbuf->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
            EXPECT_EQ(mbuf->l2_len, frame.l2);
            EXPECT_EQ(mbuf->l3_len, frame.l3);
            EXPECT_EQ(mbuf->l4_len, frame.l4);
            EXPECT_EQ(mbuf->tso_segsz, 0U);
            EXPECT_EQ(RTE_ETH_IS_IPV4_HDR(mbuf->packet_type) != 0, frame.ipv4);
            EXPECT_EQ(RTE_ETH_IS_IPV6_HDR(mbuf->packet_type) != 0, !frame.ipv4);
            EXPECT_EQ(
                mbuf->packet_type & RTE_PTYPE_L4_MASK,
                frame.tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP
            );
            EXPECT_EQ(content(mbuf), frame.bytes) << "and nothing is changed";
        }
    }
}

TEST_F(Offload, ChecksumNotNegotiated) {
    const Frame frame = make_frame({});
    negotiated = {false, true, true, true};
    EXPECT_EQ(decode(asks_csum(frame), frame.bytes), Drop::bad_header);
    EXPECT_EQ(decode(asks_segments(frame, 32), frame.bytes), Drop::bad_header);
}

TEST_F(Offload, ChecksumBehindTheEnd) {
    const FrameBytes bytes = pattern(60);
    NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    for (const unsigned start : {0U, 1U, 14U, 34U, 57U, 58U, 59U, 60U, 61U, 65534U, 65535U})
        for (const unsigned offset : {0U, 1U, 2U, 16U, 57U, 58U, 59U, 60U, 65535U}) {
            header.csum_start = static_cast<uint16_t>(start);
            header.csum_offset = static_cast<uint16_t>(offset);
            const bool wrong = start < 14 || start + offset + 2 > 60;
            EXPECT_EQ(decode(header, bytes), wrong ? MaybeDrop(Drop::bad_csum) : std::nullopt)
                << start << " + " << offset;
        }
}

// A checksum that is not that of the outer TCP or UDP header cannot be described by mbuf flags, so
// it is computed: also across mbufs, and with an odd field offset.
TEST_F(Offload, OtherChecksumsAreFinished) {
    const Frame frame = make_frame({.payload = 501});
    for (const size_t start : {size_t{14}, size_t{15}, size_t{33}, size_t{35}, size_t{100}})
        for (const size_t offset : {size_t{0}, size_t{1}, size_t{6}, size_t{17}, size_t{100}})
            for (const size_t run : {size_t{2048}, size_t{1}, size_t{2}, size_t{7}, size_t{101}}) {
                NetHeader header = asks_csum(frame);
                header.csum_start = static_cast<uint16_t>(start);
                header.csum_offset = static_cast<uint16_t>(offset);
                ASSERT_EQ(decode(header, frame.bytes, run), std::nullopt);
                FrameBytes expected = frame.bytes;
                put16(
                    expected,
                    start + offset,
                    static_cast<uint16_t>(~plain_sum(frame.bytes, start, frame.bytes.size()))
                );
                expect_finished(expected);
                ASSERT_FALSE(HasFailure()) << start << " + " << offset << " by " << run;
            }
}

// In UDP, a checksum of zero means that there is none.
TEST_F(Offload, AFinishedSumIsNotZero) {
    FrameBytes bytes(60, 0);
    bytes[40] = bytes[41] = 0xff;
    NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    header.csum_start = 40;
    header.csum_offset = 6;
    ASSERT_EQ(decode(header, bytes), std::nullopt);
    bytes[46] = bytes[47] = 0xff;
    expect_finished(bytes);
}

TEST_F(Offload, TheWrongFieldIsFinished) {
    for (const bool tcp : {true, false}) {
        const Frame frame = make_frame({.tcp = tcp});
        NetHeader header = asks_csum(frame);
        header.csum_offset = tcp ? 6 : 16;
        ASSERT_EQ(decode(header, frame.bytes), std::nullopt);
        EXPECT_TRUE(decoded.finished);
    }
}

// mbuf flags cannot describe fragments. Each is summed as it is.
TEST_F(Offload, FragmentsAreFinished) {
    Frame frame = make_frame({.tcp = false});
    for (const unsigned flags : {0x2000U, 0x2010U, 0x0001U}) {
        put16(frame.bytes, frame.l2 + 6, flags);
        ASSERT_EQ(decode(asks_csum(frame), frame.bytes), std::nullopt);
        EXPECT_TRUE(decoded.finished) << flags;
        EXPECT_EQ(mbuf->ol_flags, 0U);
    }
    Frame six = make_frame({.ipv4 = false, .options = 8, .payload = 2000});
    six.bytes[six.l2 + 6] = 44;
    for (size_t i = 0; i < 8; ++i)
        six.bytes[six.l2 + 40 + i] = i == 0 ? 6 : 0;
    six.bytes[six.l2 + 43] = 1;
    ASSERT_EQ(decode(asks_csum(six), six.bytes), std::nullopt);
    EXPECT_TRUE(decoded.finished);
    EXPECT_EQ(decode(asks_segments(six), six.bytes), Drop::bad_gso);
}

TEST_F(Offload, ATcpHeaderThatIsTooShortIsFinished) {
    Frame frame = make_frame({.payload = 2000});
    for (const unsigned words : {0U, 4U}) {
        frame.bytes[frame.l4_at() + 12] = static_cast<uint8_t>(words << 4);
        ASSERT_EQ(decode(asks_csum(frame), frame.bytes), std::nullopt);
        EXPECT_TRUE(decoded.finished);
        EXPECT_EQ(decode(asks_segments(frame), frame.bytes), Drop::bad_gso) << words;
    }
}

TEST_F(Offload, HeadersBehindTheEnd) {
    Frame frame = make_frame({.payload = 39});
    frame.bytes[frame.l4_at() + 12] = 0xf0;  // TCP header of 60 bytes; there are 59
    ASSERT_EQ(decode(asks_csum(frame), frame.bytes), std::nullopt);
    EXPECT_TRUE(decoded.finished);
    EXPECT_EQ(decode(asks_segments(frame, 32), frame.bytes), Drop::bad_gso);
    frame = make_frame({.payload = 40});
    frame.bytes[frame.l4_at() + 12] = 0xf0;
    ASSERT_EQ(decode(asks_csum(frame), frame.bytes), std::nullopt);
    EXPECT_TRUE(decoded.csum);
}

TEST_F(Offload, HeadersThatAreTooLong) {
    // 14 + 40 + 112 + 20 is 186; with 8 more it is 194.
    for (const size_t options : {size_t{112}, size_t{120}}) {
        const Frame frame = make_frame({.ipv4 = false, .options = options, .payload = 2000});
        const bool fits = frame.headers() <= kMostHeaders;
        EXPECT_EQ(fits, options == 112);
        ASSERT_EQ(decode(asks_csum(frame), frame.bytes), std::nullopt);
        EXPECT_EQ(decoded.csum, fits);
        EXPECT_EQ(
            decode(asks_segments(frame), frame.bytes),
            fits ? std::nullopt : MaybeDrop(Drop::bad_gso)
        );
    }
}

// ---- segments

TEST_F(Offload, ALargeFrame) {
    for (FrameSpec spec : kinds()) {
        if (!spec.tcp)
            continue;
        const Frame frame = make_frame(spec);
        for (const bool ecn : {false, true}) {
            NetHeader header = asks_segments(frame);
            header.gso_type |= ecn ? net::kGsoEcn : 0;
            ASSERT_EQ(decode(header, frame.bytes, 100), std::nullopt)
                << frame.l2 << " " << frame.l3 << " " << frame.l4;
            EXPECT_TRUE(decoded.csum && decoded.large);
            EXPECT_EQ(mbuf->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
            EXPECT_EQ(mbuf->tso_segsz, kMss);
            EXPECT_EQ(mbuf->l2_len + mbuf->l3_len + mbuf->l4_len, frame.headers());
        }
    }
}

TEST_F(Offload, LargeIsMoreThanASegment) {
    const Frame frame = make_frame({.payload = 1000});
    for (const uint16_t mss : {uint16_t{999}, uint16_t{1000}, uint16_t{65535}}) {
        ASSERT_EQ(decode(asks_segments(frame, mss), frame.bytes), std::nullopt);
        EXPECT_TRUE(decoded.csum);
        EXPECT_EQ(decoded.large, mss == 999);
        EXPECT_EQ(mbuf->tso_segsz, mss == 999 ? 999 : 0);
    }
}

TEST_F(Offload, SegmentSizes) {
    const Frame frame = make_frame({.payload = 3333});
    for (const uint16_t mss : {uint16_t{0}, uint16_t{1}, uint16_t{31}})
        EXPECT_EQ(decode(asks_segments(frame, mss), frame.bytes), Drop::bad_gso) << mss;
    EXPECT_EQ(decode(asks_segments(frame, 32), frame.bytes), std::nullopt);
}

TEST_F(Offload, SegmentsWithoutAChecksum) {
    const Frame frame = make_frame({.payload = 3333});
    NetHeader header = asks_segments(frame);
    header.flags = net::kHeaderDataValid;
    EXPECT_EQ(decode(header, frame.bytes), Drop::bad_gso);
}

TEST_F(Offload, SegmentsNotNegotiated) {
    const Frame four = make_frame({.payload = 3333});
    const Frame six = make_frame({.ipv4 = false, .payload = 3333});
    negotiated = {true, false, true, true};
    EXPECT_EQ(decode(asks_segments(four), four.bytes), Drop::bad_header);
    EXPECT_EQ(decode(asks_segments(six), six.bytes), std::nullopt);
    negotiated = {true, true, false, true};
    EXPECT_EQ(decode(asks_segments(four), four.bytes), std::nullopt);
    EXPECT_EQ(decode(asks_segments(six), six.bytes), Drop::bad_header);
    negotiated = {true, true, true, false};
    EXPECT_EQ(decode(asks_segments(four), four.bytes), std::nullopt);
    for (const Frame* frame : {&four, &six}) {
        NetHeader header = asks_segments(*frame);
        header.gso_type |= net::kGsoEcn;
        EXPECT_EQ(decode(header, frame->bytes), Drop::bad_header);
    }
}

TEST_F(Offload, UnknownTypes) {
    const Frame frame = make_frame({.payload = 3333});
    for (unsigned type = 1; type < 256; ++type) {
        NetHeader header = asks_segments(frame);
        header.gso_type = static_cast<uint8_t>(type);
        const unsigned kind = type & 0x7f;
        const auto drop = decode(header, frame.bytes);
        if (kind == net::kGsoTcp4)
            EXPECT_EQ(drop, std::nullopt);
        else if (kind == net::kGsoTcp6 || kind == net::kGsoNone)
            EXPECT_EQ(drop, Drop::bad_gso) << "IPv6 that is IPv4, and ECN of nothing";
        else
            EXPECT_EQ(drop, Drop::bad_header) << type;
    }
}

TEST_F(Offload, OtherThanItSays) {
    const Frame six = make_frame({.ipv4 = false, .payload = 3333});
    NetHeader header = asks_segments(six);
    header.gso_type = net::kGsoTcp4;
    EXPECT_EQ(decode(header, six.bytes), Drop::bad_gso);
    const Frame udp = make_frame({.tcp = false, .payload = 3333});
    EXPECT_EQ(decode(asks_segments(udp), udp.bytes), Drop::bad_gso);
    const Frame frame = make_frame({.payload = 3333});
    header = asks_segments(frame);
    header.csum_start += 4;
    EXPECT_EQ(decode(header, frame.bytes), Drop::bad_gso);
    header.csum_start -= 4;
    header.csum_offset -= 2;
    EXPECT_EQ(decode(header, frame.bytes), Drop::bad_gso);
}

TEST_F(Offload, TheVersionInTheIpHeader) {
    for (const FrameSpec& spec : kinds()) {
        const Frame whole = make_frame(spec);
        for (const unsigned version : {0U, 4U, 5U, 6U, 7U, 14U, 15U}) {
            if (version == (whole.ipv4 ? 4U : 6U))
                continue;
            Frame frame = whole;
            uint8_t& first = frame.bytes[frame.l2];
            first = static_cast<uint8_t>(version << 4 | (first & 0xf));
            for (const size_t run : {size_t{2048}, size_t{23}}) {
                ASSERT_EQ(decode(asks_csum(frame), frame.bytes, run), std::nullopt);
                EXPECT_TRUE(decoded.finished) << version;
                EXPECT_EQ(mbuf->ol_flags, 0U);
                EXPECT_EQ(decode(asks_segments(frame), frame.bytes, run), Drop::bad_gso) << version;
            }
        }
    }
}

TEST_F(Offload, TheLengthInTheIpHeader) {
    for (const bool ipv4 : {true, false}) {
        const Frame whole = make_frame({.ipv4 = ipv4, .payload = 3333});
        const size_t at = whole.l2 + (ipv4 ? 2 : 4);
        const unsigned right = get16(whole.bytes, at);
        for (const unsigned wrong : {0U, 1U, right - 1, right + 1, 65535U}) {
            Frame frame = whole;
            put16(frame.bytes, at, wrong);
            EXPECT_EQ(decode(asks_segments(frame), frame.bytes), Drop::bad_gso) << wrong;
        }
        FrameBytes padded = whole.bytes;
        padded.push_back(0);
        EXPECT_EQ(decode(asks_segments(whole), padded), Drop::bad_gso);
    }
}

// ---- the same from an mbuf

TEST_F(Offload, ReadAsItWasDecoded) {
    for (const FrameSpec& spec : kinds()) {
        const Frame frame = make_frame(spec);
        ASSERT_EQ(decode(asks_csum(frame), frame.bytes, 50), std::nullopt);
        Unfinished what;
        ASSERT_EQ(read(what), std::nullopt);
        EXPECT_TRUE(what.csum && what.pseudo);
        EXPECT_FALSE(what.ip_csum);
        EXPECT_EQ(what.ipv4, frame.ipv4);
        EXPECT_EQ(what.tcp, frame.tcp);
        EXPECT_EQ(what.segment, 0U);
        EXPECT_EQ(what.headers(), frame.headers());
        EXPECT_EQ(what.l4_at(), frame.l4_at());
        EXPECT_EQ(what.end, frame.bytes.size());
        const NetHeader header = net::encode(what, false);
        EXPECT_EQ(header.flags, net::kHeaderNeedsCsum);
        EXPECT_EQ(header.gso_type, net::kGsoNone);
        EXPECT_EQ(header.gso_size, 0U);
        EXPECT_EQ(header.csum_start, frame.l4_at());
        EXPECT_EQ(header.csum_offset, frame.tcp ? 16 : 6);
        EXPECT_EQ(longest_segment(*mbuf), frame.bytes.size());
    }
}

// PMDs may leave the lengths of an earlier frame in an mbuf.
TEST_F(Offload, LengthsOfAnotherFrame) {
    const auto all = kinds();
    for (const FrameSpec& other : all) {
        const Frame before = make_frame(other);
        for (const FrameSpec& spec : all) {
            const Frame frame = make_frame(spec);
            put(frame.bytes);
            say_lengths(mbuf, before, spec.tcp ? kMss : uint16_t{0});
            // The packet type is that of this frame, or unset.
            if (other.options == 0)
                mbuf->packet_type = RTE_PTYPE_L2_ETHER |
                                    (spec.ipv4 ? RTE_PTYPE_L3_IPV4 : RTE_PTYPE_L3_IPV6) |
                                    (spec.tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP);
            mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
            mbuf->ol_flags |= spec.tcp ? RTE_MBUF_F_RX_LRO : uint64_t{0};
            Unfinished what;
            ASSERT_EQ(read(what), std::nullopt);
            EXPECT_EQ(what.tcp, frame.tcp);
            EXPECT_EQ(what.ipv4, frame.ipv4);
            EXPECT_EQ(what.l4_at(), frame.l4_at());
            EXPECT_EQ(what.headers(), frame.headers());
            ASSERT_FALSE(HasFailure())
                << "of " << before.l2 << "+" << before.l3 << " in " << frame.l2 << "+" << frame.l3;
        }
    }
}

TEST_F(Offload, ReadALargeOne) {
    for (FrameSpec spec : kinds()) {
        if (!spec.tcp)
            continue;
        for (const bool cwr : {false, true}) {
            spec.tcp_flags = cwr ? 0x90 : 0x10;
            const Frame frame = make_frame(spec);
            ASSERT_EQ(decode(asks_segments(frame), frame.bytes, 50), std::nullopt);
            Unfinished what;
            ASSERT_EQ(read(what), std::nullopt);
            EXPECT_EQ(what.segment, kMss);
            EXPECT_EQ(what.cwr, cwr);
            EXPECT_EQ(longest_segment(*mbuf), frame.headers() + kMss);
            const NetHeader header = net::encode(what, true);
            EXPECT_EQ(
                header.gso_type,
                (frame.ipv4 ? net::kGsoTcp4 : net::kGsoTcp6) | (cwr ? net::kGsoEcn : 0)
            );
            EXPECT_EQ(header.gso_size, kMss);
            EXPECT_EQ(header.hdr_len, frame.headers());
            EXPECT_EQ(header.num_buffers, 0U);
            EXPECT_FALSE(what.large_for({false, true, true, true}));
            EXPECT_TRUE(what.large_for(kAll));
            EXPECT_EQ(what.large_for({true, true, false, true}), frame.ipv4);
            EXPECT_EQ(what.large_for({true, true, true, false}), !cwr);
        }
    }
}

// Ports set RX_L4_CKSUM_NONE for frames of any type, and for UDP without a checksum. Then there is
// nothing to do.
TEST_F(Offload, ReceivedAndNothingToBeDone) {
    Unfinished what;
    FrameBytes arp = pattern(60);
    put16(arp, 12, 0x0806);
    put(arp)->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
    EXPECT_EQ(read(what), std::nullopt);
    EXPECT_FALSE(what.any());
    Frame udp = make_frame({.tcp = false});
    put16(udp.bytes, udp.field(), 0);
    put(udp.bytes)->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
    EXPECT_EQ(read(what), std::nullopt);
    EXPECT_FALSE(what.any());
    put(make_frame({}).bytes);
    for (const uint64_t flags : std::initializer_list<uint64_t>{
             0, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD}) {
        mbuf->ol_flags = flags;
        EXPECT_FALSE(may_be_unfinished(*mbuf)) << flags;
        EXPECT_EQ(read(what), std::nullopt);
        EXPECT_FALSE(what.any());
    }
}

// A frame that a port coalesced from several (LRO).
TEST_F(Offload, ReceivedLarge) {
    Unfinished what;
    const Frame frame = make_frame({.payload = 3333});
    put(frame.bytes);
    mbuf->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    mbuf->tso_segsz = kMss;
    ASSERT_EQ(read(what), std::nullopt);
    EXPECT_EQ(what.segment, kMss);
    EXPECT_FALSE(what.pseudo) << "its field has the sum";
    mbuf->tso_segsz = 0;
    EXPECT_EQ(read(what), std::nullopt);
    EXPECT_EQ(what.segment, 0U);
    put(make_frame({.tcp = false, .payload = 3333}).bytes);
    mbuf->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
    mbuf->tso_segsz = kMss;
    EXPECT_EQ(read(what), Drop::bad_gso) << "UDP is not cut";
}

TEST_F(Offload, AnApplicationAsks) {
    for (const FrameSpec& spec : kinds())
        for (const uint16_t mss : {uint16_t{0}, kMss}) {
            const Frame frame = make_frame(spec);
            if (mss != 0 && !frame.tcp)
                continue;
            ask(put(frame.bytes, 40), frame, mss);
            Unfinished what;
            ASSERT_EQ(read(what), std::nullopt) << frame.l2 << " " << frame.l3 << " " << frame.l4;
            EXPECT_TRUE(what.csum);
            EXPECT_FALSE(what.pseudo);
            EXPECT_EQ(what.ip_csum, frame.ipv4 && mss != 0);
            EXPECT_EQ(what.segment, mss);
            EXPECT_EQ(what.l4_at(), frame.l4_at());
            EXPECT_EQ(what.end, frame.bytes.size());
        }
}

TEST_F(Offload, WrongLengthsOfAnApplication) {
    const Frame frame = make_frame({.options = 8, .tcp_options = 4, .payload = 3333});
    Unfinished what;
    const auto refusal = [&](uint16_t mss, auto change) {
        ask(put(frame.bytes), frame, mss);
        change(*mbuf);
        return read(what);
    };
    for (const uint16_t mss : {uint16_t{0}, kMss}) {
        const MaybeDrop wrong = mss != 0 ? Drop::bad_gso : Drop::bad_csum;
        EXPECT_EQ(refusal(mss, [](auto& /*m*/) {}), std::nullopt);
        for (const uint64_t l2 : {0U, 13U, 15U, 18U, 127U})
            EXPECT_EQ(refusal(mss, [&](auto& m) { m.l2_len = l2 & 0x7f; }), wrong) << l2;
        for (const uint64_t l3 : {0U, 16U, 20U, 27U, 32U, 511U})
            EXPECT_EQ(refusal(mss, [&](auto& m) { m.l3_len = l3 & 0x1ff; }), wrong) << l3;
        EXPECT_EQ(refusal(mss, [](auto& m) { m.ol_flags |= RTE_MBUF_F_TX_IPV6; }), wrong);
    }
    for (const uint64_t l4 : {8U, 20U, 23U, 25U, 28U, 255U})
        EXPECT_EQ(refusal(kMss, [&](auto& m) { m.l4_len = l4 & 0xff; }), Drop::bad_gso) << l4;
    EXPECT_EQ(refusal(kMss, [](auto& m) { m.tso_segsz = 0; }), Drop::bad_gso);
    for (const uint64_t flag : std::initializer_list<uint64_t>{
             RTE_MBUF_F_TX_UDP_SEG, RTE_MBUF_F_TX_TUNNEL_VXLAN, RTE_MBUF_F_TX_OUTER_IP_CKSUM})
        EXPECT_EQ(refusal(0, [&](auto& m) { m.ol_flags |= flag; }), Drop::bad_csum) << flag;
    const auto sctp = [](auto& m) { m.ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_SCTP_CKSUM; };
    EXPECT_EQ(refusal(0, sctp), Drop::bad_csum);
}

// l4_len need not be set for a frame that is not segmented.
TEST_F(Offload, TheLengthOfTcpNeedNotBeSaid) {
    const Frame frame = make_frame({.tcp_options = 4, .payload = 301});
    for (const uint64_t l4 : {0U, 20U, 24U, 21U, 255U}) {
        ask(put(frame.bytes), frame, 0);
        mbuf->l4_len = l4 & 0xff;
        Unfinished what;
        ASSERT_EQ(read(what), std::nullopt) << l4;
        EXPECT_EQ(what.headers() % 2, 0U) << "sums go by halves";
    }
}

TEST_F(Offload, TheIpHeaderAlone) {
    const Frame frame = make_frame({});
    ask(put(frame.bytes), frame, 0);
    mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    mbuf->l4_len = 0;
    Unfinished what;
    ASSERT_EQ(read(what), std::nullopt);
    EXPECT_TRUE(what.ip_csum);
    EXPECT_FALSE(what.csum);
    const Frame six = make_frame({.ipv4 = false});
    ask(put(six.bytes), six, 0);
    mbuf->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM;
    EXPECT_EQ(read(what), Drop::bad_csum) << "IPv6 has none";
}

TEST_F(Offload, AnApplicationPads) {
    const Frame frame = make_frame({.payload = 2});
    FrameBytes padded = frame.bytes;
    padded.resize(60, 0xaa);
    ask(put(padded), frame, 0);
    Unfinished what;
    ASSERT_EQ(read(what), std::nullopt);
    EXPECT_EQ(what.end, frame.bytes.size());
    padded.resize(frame.bytes.size() - 1);
    ask(put(padded), frame, 0);
    EXPECT_EQ(read(what), Drop::bad_csum) << "IP says more than there is";
}

TEST_F(Offload, FeaturesOfEachDirection) {
    using namespace virtio;
    EXPECT_EQ(
        net::offloads_from_guest(kFeatureCsum | kFeatureHostEcn),
        (Offloads{true, false, false, true})
    );
    EXPECT_EQ(
        net::offloads_from_guest(kFeatureGuestCsum | kFeatureHostTso4),
        (Offloads{false, true, false, false})
    );
    EXPECT_EQ(net::offloads_from_guest(kFeatureHostTso6), (Offloads{false, false, true, false}));
    const uint64_t all =
        kFeatureGuestCsum | kFeatureGuestTso4 | kFeatureGuestTso6 | kFeatureGuestEcn;
    EXPECT_EQ(net::offloads_to_guest(all, 0), kAll);
    EXPECT_EQ(
        net::offloads_to_guest(all, kFeatureGuestTso4 | kFeatureGuestEcn),
        (Offloads{true, false, true, false})
    );
    EXPECT_EQ(net::offloads_to_guest(~all, 0), Offloads{});
    EXPECT_EQ(net::guest_offload_bits(~uint64_t{0}), all);
    EXPECT_EQ(net::guest_offload_bits(kFeatureGuestTso6 | kFeatureCsum), kFeatureGuestTso6);
}

}  // namespace
}  // namespace vduse::test
