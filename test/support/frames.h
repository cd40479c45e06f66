// SPDX-License-Identifier: BSD-3-Clause

// TCP and UDP frames, and the expected results of checksumming and segmentation. The arithmetic
// here is independent: it uses nothing of DPDK or of the library, because tests compare those with
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/mbufs.h"

namespace vduse::test {

using FrameBytes = std::vector<uint8_t>;

/// Describes the frame that `make_frame` builds.
struct FrameSpec {
    bool ipv4 = true;
    bool tcp = true;
    std::vector<uint16_t> tags = {};  ///< Ethernet types of the VLAN tags, outer tag first
    size_t options = 0;  ///< bytes: IPv4 options (multiple of 4) or IPv6 extension header (of 8)
    size_t tcp_options = 0;    ///< bytes, a multiple of 4
    uint8_t tcp_flags = 0x18;  ///< ACK, PSH
    size_t payload = 100;
    unsigned seed = 1;
    uint16_t id = 0x1234;
    uint32_t seq = 0xfffff000;  ///< near the end, so that it wraps
};

/// A frame and its header lengths. Its checksum field holds the pseudo-header sum.
struct Frame {
    FrameBytes bytes;
    size_t l2 = 14;
    size_t l3 = 0;
    size_t l4 = 0;
    bool ipv4 = true;
    bool tcp = true;

    [[nodiscard]] size_t l4_at() const { return l2 + l3; }
    [[nodiscard]] size_t headers() const { return l2 + l3 + l4; }
    [[nodiscard]] size_t field() const { return l4_at() + (tcp ? 16 : 6); }
};

inline void put16(FrameBytes& bytes, size_t at, size_t value) {
    bytes.at(at) = static_cast<uint8_t>(value >> 8);
    bytes.at(at + 1) = static_cast<uint8_t>(value);
}
inline uint16_t get16(const FrameBytes& bytes, size_t at) {
    return static_cast<uint16_t>(bytes.at(at) << 8 | bytes.at(at + 1));
}
inline uint32_t get32(const FrameBytes& bytes, size_t at) {
    return uint32_t{get16(bytes, at)} << 16 | get16(bytes, at + 2);
}

/// The RFC 1071 sum of [from, end), not complemented.
inline uint16_t plain_sum(const FrameBytes& bytes, size_t from, size_t end, uint64_t sum = 0) {
    for (size_t i = from; i < end; ++i)
        sum += (i - from) % 2 == 0 ? uint64_t{bytes.at(i)} << 8 : uint64_t{bytes.at(i)};
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
}

/// The pseudo-header sum for `l4_bytes` of TCP or UDP.
inline uint16_t plain_pseudo(const Frame& frame, size_t l4_bytes) {
    const uint64_t start = l4_bytes + (frame.tcp ? 6 : 17);
    return frame.ipv4 ? plain_sum(frame.bytes, frame.l2 + 12, frame.l2 + 20, start)
                      : plain_sum(frame.bytes, frame.l2 + 8, frame.l2 + 40, start);
}

/// Writes the IP length fields; for IPv4 also `id` and the header checksum.
inline void plain_ip(Frame& frame, uint16_t id) {
    const size_t bytes = frame.bytes.size() - frame.l2;
    if (!frame.ipv4) {
        put16(frame.bytes, frame.l2 + 4, bytes - 40);
        return;
    }
    put16(frame.bytes, frame.l2 + 2, bytes);
    put16(frame.bytes, frame.l2 + 4, id);
    put16(frame.bytes, frame.l2 + 10, 0);
    put16(frame.bytes, frame.l2 + 10, ~plain_sum(frame.bytes, frame.l2, frame.l2 + frame.l3));
}

inline Frame make_frame(const FrameSpec& spec) {
    Frame frame;
    frame.ipv4 = spec.ipv4;
    frame.tcp = spec.tcp;
    FrameBytes& bytes = frame.bytes;
    bytes = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    for (size_t i = 0; i < spec.tags.size(); ++i) {
        bytes.resize(bytes.size() + 4);
        put16(bytes, bytes.size() - 4, spec.tags[i]);
        put16(bytes, bytes.size() - 2, 5 + i);
    }
    bytes.resize(bytes.size() + 2);
    put16(bytes, bytes.size() - 2, spec.ipv4 ? 0x0800 : 0x86dd);
    frame.l2 = bytes.size();
    frame.l3 = (spec.ipv4 ? 20 : 40) + spec.options;
    frame.l4 = spec.tcp ? 20 + spec.tcp_options : 8;
    const uint8_t protocol = spec.tcp ? 6 : 17;
    bytes.resize(frame.headers());
    uint8_t* const ip = bytes.data() + frame.l2;
    if (spec.ipv4) {
        ip[0] = static_cast<uint8_t>(0x40 | frame.l3 / 4);
        ip[6] = 0x40;  // do not fragment
        ip[8] = 64;
        ip[9] = protocol;
        std::fill_n(ip + 20, spec.options, uint8_t{1});
    } else {
        ip[0] = 0x60;
        ip[6] = spec.options != 0 ? 60 : protocol;  // destination options
        ip[7] = 64;
        if (spec.options != 0) {
            ip[40] = protocol;
            ip[41] = static_cast<uint8_t>(spec.options / 8 - 1);
            ip[42] = 1;  // PadN
            ip[43] = static_cast<uint8_t>(spec.options - 4);
        }
    }
    const auto addresses = pattern(spec.ipv4 ? 8 : 32, spec.seed + 77);
    std::copy(addresses.begin(), addresses.end(), ip + (spec.ipv4 ? 12 : 8));
    const size_t l4 = frame.l4_at();
    put16(bytes, l4, 40000 + spec.seed % 1000);
    put16(bytes, l4 + 2, 443);
    if (spec.tcp) {
        put16(bytes, l4 + 4, spec.seq >> 16);
        put16(bytes, l4 + 6, spec.seq);
        put16(bytes, l4 + 8, 0x1234);
        bytes[l4 + 12] = static_cast<uint8_t>(frame.l4 / 4 << 4);
        bytes[l4 + 13] = spec.tcp_flags;
        put16(bytes, l4 + 14, 501);
        std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(l4 + 20), spec.tcp_options, uint8_t{1});
    } else {
        put16(bytes, l4 + 4, 8 + spec.payload);
    }
    const auto payload = pattern(spec.payload, spec.seed);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    plain_ip(frame, spec.id);
    put16(bytes, frame.field(), plain_pseudo(frame, bytes.size() - l4));
    return frame;
}

/// The bytes of the frame with a complete L4 checksum.
inline FrameBytes finished(Frame frame) {
    FrameBytes& bytes = frame.bytes;
    put16(bytes, frame.field(), plain_pseudo(frame, bytes.size() - frame.l4_at()));
    uint16_t sum = static_cast<uint16_t>(~plain_sum(bytes, frame.l4_at(), bytes.size()));
    if (sum == 0 && !frame.tcp)
        sum = 0xffff;
    put16(bytes, frame.field(), sum);
    return bytes;
}

/// The segments of a TCP frame. `complete`: with full checksums, otherwise with pseudo-header sums.
inline std::vector<FrameBytes> plain_segments(
    const Frame& frame, size_t mss, bool complete = true
) {
    std::vector<FrameBytes> segments;
    const size_t payload = frame.bytes.size() - frame.headers();
    for (size_t at = 0; at < payload; at += mss) {
        const size_t run = std::min(mss, payload - at);
        const auto begin = frame.bytes.begin() + static_cast<ptrdiff_t>(frame.headers() + at);
        Frame segment = frame;
        segment.bytes.resize(frame.headers());
        segment.bytes.insert(segment.bytes.end(), begin, begin + static_cast<ptrdiff_t>(run));
        plain_ip(
            segment,
            frame.ipv4 ? static_cast<uint16_t>(get16(frame.bytes, frame.l2 + 4) + segments.size())
                       : uint16_t{0}
        );
        const size_t tcp = frame.l4_at();
        const uint64_t seq = get32(frame.bytes, tcp + 4) + uint64_t{at};
        put16(segment.bytes, tcp + 4, seq >> 16 & 0xffff);
        put16(segment.bytes, tcp + 6, seq & 0xffff);
        uint8_t& flags = segment.bytes.at(tcp + 13);
        if (at + run < payload)
            flags &= static_cast<uint8_t>(~0x09);  // FIN, PSH
        if (at != 0)
            flags &= static_cast<uint8_t>(~0x80);  // CWR
        put16(segment.bytes, segment.field(), plain_pseudo(segment, segment.bytes.size() - tcp));
        segments.push_back(complete ? finished(segment) : segment.bytes);
    }
    return segments;
}

/// Sets the mbuf's header length fields from `frame`, and its segment size to `mss`.
inline void say_lengths(rte_mbuf* mbuf, const Frame& frame, uint16_t mss) {
    mbuf->l2_len = frame.l2 & 0x7f;
    mbuf->l3_len = frame.l3 & 0x1ff;
    mbuf->l4_len = frame.l4 & 0xff;
    mbuf->tso_segsz = mss;
}

/// Requests TSO (`mss` not 0) or a checksum: sets flags and lengths as applications do.
inline void ask(rte_mbuf* mbuf, const Frame& frame, uint16_t mss) {
    mbuf->ol_flags |= frame.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    mbuf->ol_flags |= mss != 0    ? RTE_MBUF_F_TX_TCP_SEG
                      : frame.tcp ? RTE_MBUF_F_TX_TCP_CKSUM
                                  : RTE_MBUF_F_TX_UDP_CKSUM;
    say_lengths(mbuf, frame, mss);
}

}  // namespace vduse::test
