// SPDX-License-Identifier: BSD-3-Clause

#include "net/offload.h"

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <algorithm>
#include <cstring>

#include "net/layers.h"
#include "net/mbuf_walk.h"
#include "net/sum.h"
#include "vduse/limits.h"
#include "virtio/features.h"

namespace vduse::net {
namespace {

constexpr uint64_t kToGuest = virtio::kFeatureGuestCsum | virtio::kFeatureGuestTso4 |
                              virtio::kFeatureGuestTso6 | virtio::kFeatureGuestEcn;

/// The reason why `header` is invalid for any frame of `frame_bytes`, or nullopt.
std::optional<Drop> check_header(
    const NetHeader& header, const Offloads& negotiated, uint32_t frame_bytes
) {
    const auto gso = static_cast<uint8_t>(header.gso_type & ~kGsoEcn);
    const bool large = gso != kGsoNone;
    if (!negotiated.csum || (gso == kGsoTcp4 && !negotiated.tso4) ||
        (gso == kGsoTcp6 && !negotiated.tso6) || (large && gso != kGsoTcp4 && gso != kGsoTcp6) ||
        (header.gso_type != gso && !negotiated.ecn))
        return Drop::bad_header;
    if (header.gso_type != kGsoNone &&
        (!large || (header.flags & kHeaderNeedsCsum) == 0 || header.gso_size < kLeastSegment))
        return Drop::bad_gso;
    if (header.csum_start < kEthernetHeader ||
        uint32_t{header.csum_start} + header.csum_offset + sizeof(uint16_t) > frame_bytes)
        return Drop::bad_csum;
    return std::nullopt;
}

/// Computes the checksum as virtio requires: of everything from `start` on, stored at `field`.
void finish(rte_mbuf& frame, uint32_t start, uint32_t field) {
    auto sum = static_cast<uint16_t>(~raw_sum(frame, start, frame.pkt_len - start));
    if (sum == 0)
        sum = 0xffff;
    const auto* byte = reinterpret_cast<const uint8_t*>(&sum);
    for (rte_mbuf* segment = &frame; segment != nullptr; segment = segment->next) {
        for (; field < segment->data_len && byte != reinterpret_cast<const uint8_t*>(&sum + 1);
             ++field)
            *rte_pktmbuf_mtod_offset(segment, uint8_t*, field) = *byte++;
        field -= std::min<uint32_t>(field, segment->data_len);
    }
}

/// Bytes after the Ethernet header, according to the IP header.
uint32_t ip_bytes(const rte_mbuf& frame, bool ipv4, uint32_t l2) {
    if (ipv4) {
        rte_ipv4_hdr ip;
        return copy_from(frame, l2, sizeof ip, &ip) ? rte_be_to_cpu_16(ip.total_length) : 0;
    }
    rte_ipv6_hdr ip;
    return copy_from(frame, l2, sizeof ip, &ip) ? sizeof ip + rte_be_to_cpu_16(ip.payload_len) : 0;
}

/// Whether `header` names the checksum of the TCP or UDP header that was found.
bool names_csum(
    const NetHeader& header, const rte_mbuf& frame, bool tcp, const rte_net_hdr_lens& lengths
) {
    const uint32_t l4_at = uint32_t{lengths.l2_len} + lengths.l3_len;
    const uint32_t headers = l4_at + lengths.l4_len;
    return (!tcp || lengths.l4_len >= sizeof(rte_tcp_hdr)) && header.csum_start == l4_at &&
           header.csum_offset == (tcp ? 16 : 6) && headers <= kMostHeaders &&
           headers <= frame.pkt_len;
}

void mark(rte_mbuf& frame, uint32_t type, const rte_net_hdr_lens& lengths, uint16_t segment) {
    frame.packet_type = type;
    frame.ol_flags |=
        RTE_MBUF_F_RX_L4_CKSUM_NONE | (segment != 0 ? RTE_MBUF_F_RX_LRO : uint64_t{0});
    frame.tx_offload =
        rte_mbuf_tx_offload(lengths.l2_len, lengths.l3_len, lengths.l4_len, segment, 0, 0, 0);
}

/// Fast path: the checksum of most frames. Returns false for the others.
bool decode_plain(const NetHeader& header, rte_mbuf& frame) {
    rte_net_hdr_lens lengths;
    const uint32_t type = find_plain_layers(frame, lengths);
    if (type == RTE_PTYPE_UNKNOWN ||
        !names_csum(header, frame, (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP, lengths))
        return false;
    mark(frame, type, lengths, 0);
    return true;
}

/// Out of line, because it takes the registers that the fast path needs.
[[gnu::noinline]] std::optional<Drop> decode_any(
    const NetHeader& header, rte_mbuf& frame, Decoded& decoded
) {
    rte_net_hdr_lens lengths{};
    const uint32_t type = find_layers(frame, lengths);
    const bool ipv4 = RTE_ETH_IS_IPV4_HDR(type) != 0;
    const bool ip = ipv4 || RTE_ETH_IS_IPV6_HDR(type) != 0;
    const uint32_t l4 = type & RTE_PTYPE_L4_MASK;
    const bool tcp = ip && l4 == RTE_PTYPE_L4_TCP;
    const bool udp = ip && l4 == RTE_PTYPE_L4_UDP;
    const bool named = (tcp || udp) && names_csum(header, frame, tcp, lengths);
    const bool large = header.gso_type != kGsoNone;
    if (large && (!named || !tcp || ipv4 != ((header.gso_type & ~kGsoEcn) == kGsoTcp4) ||
                  ip_bytes(frame, ipv4, lengths.l2_len) != frame.pkt_len - lengths.l2_len))
        return Drop::bad_gso;
    if (!named) {
        frame.packet_type = type;
        finish(frame, header.csum_start, uint32_t{header.csum_start} + header.csum_offset);
        decoded.finished = true;
        return std::nullopt;
    }
    const uint32_t headers = uint32_t{lengths.l2_len} + lengths.l3_len + lengths.l4_len;
    // Linux marks a frame as large even if it is not longer than one segment.
    decoded.csum = true;
    decoded.large = large && frame.pkt_len - headers > header.gso_size;
    mark(frame, type, lengths, decoded.large ? header.gso_size : uint16_t{0});
    return std::nullopt;
}

}  // namespace

Offloads offloads_from_guest(uint64_t features) {
    const auto has = [&](uint64_t feature) { return (features & feature) != 0; };
    return {
        has(virtio::kFeatureCsum),
        has(virtio::kFeatureHostTso4),
        has(virtio::kFeatureHostTso6),
        has(virtio::kFeatureHostEcn)};
}

Offloads offloads_to_guest(uint64_t features, uint64_t off) {
    const auto has = [&](uint64_t feature) { return (features & ~off & feature) != 0; };
    return {
        has(virtio::kFeatureGuestCsum),
        has(virtio::kFeatureGuestTso4),
        has(virtio::kFeatureGuestTso6),
        has(virtio::kFeatureGuestEcn)};
}

uint64_t guest_offload_bits(uint64_t features) {
    return features & kToGuest;
}

std::optional<Drop> decode(
    const NetHeader& header, const Offloads& negotiated, rte_mbuf& frame, Decoded& decoded
) noexcept {
    if (const auto drop = check_header(header, negotiated, frame.pkt_len))
        return drop;
    if (header.gso_type != kGsoNone || !decode_plain(header, frame))
        return decode_any(header, frame, decoded);
    decoded.csum = true;
    return std::nullopt;
}

WireHeader encode_plain(const rte_mbuf& frame) noexcept {
    rte_net_hdr_lens lengths;
    const uint32_t type = find_plain_layers(frame, lengths);
    if (type == RTE_PTYPE_UNKNOWN)
        return {0, 0};
    const bool tcp = (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP;
    const uint32_t l4_at = uint32_t{lengths.l2_len} + lengths.l3_len;
    if (l4_at + lengths.l4_len > frame.data_len)
        return {0, 0};
    if (tcp) {
        if (lengths.l4_len < sizeof(rte_tcp_hdr))
            return {0, 0};
    } else {
        rte_udp_hdr udp;
        std::memcpy(&udp, rte_pktmbuf_mtod_offset(&frame, const void*, l4_at), sizeof udp);
        if (udp.dgram_cksum == 0)
            return {0, 0};
    }
    const auto start = static_cast<uint16_t>(l4_at);
    const auto offset = static_cast<uint16_t>(tcp ? 16 : 6);
    return wire({kHeaderNeedsCsum, kGsoNone, 0, 0, start, offset, 1});
}

NetHeader encode(const Unfinished& what, bool large) noexcept {
    NetHeader header{};
    header.flags = kHeaderNeedsCsum;
    header.csum_start = what.l4_at();
    header.csum_offset = what.csum_offset();
    if (large) {
        header.gso_type = static_cast<uint8_t>(
            (what.ipv4 ? kGsoTcp4 : kGsoTcp6) | (what.cwr ? kGsoEcn : kGsoNone)
        );
        header.gso_size = what.segment;
        header.hdr_len = what.headers();
    }
    return header;
}

}  // namespace vduse::net
