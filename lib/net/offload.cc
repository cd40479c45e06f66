// SPDX-License-Identifier: BSD-3-Clause

#include "net/offload.h"

#include <rte_ip.h>

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
    const uint32_t start = header.csum_start;
    rte_net_hdr_lens lengths{};
    const uint32_t type = find_layers(frame, lengths);
    const bool ipv4 = RTE_ETH_IS_IPV4_HDR(type) != 0;
    const bool ip = ipv4 || RTE_ETH_IS_IPV6_HDR(type) != 0;
    const uint32_t l4 = type & RTE_PTYPE_L4_MASK;
    const bool tcp = ip && l4 == RTE_PTYPE_L4_TCP && lengths.l4_len >= 20;
    const bool udp = ip && l4 == RTE_PTYPE_L4_UDP;
    const uint32_t headers = uint32_t{lengths.l2_len} + lengths.l3_len + lengths.l4_len;
    const bool named = (tcp || udp) && start == uint32_t{lengths.l2_len} + lengths.l3_len &&
                       header.csum_offset == (tcp ? 16 : 6) && headers <= kMostHeaders &&
                       headers <= frame.pkt_len;
    const bool large = header.gso_type != kGsoNone;
    if (large && (!named || !tcp || ipv4 != ((header.gso_type & ~kGsoEcn) == kGsoTcp4) ||
                  ip_bytes(frame, ipv4, lengths.l2_len) != frame.pkt_len - lengths.l2_len))
        return Drop::bad_gso;
    frame.packet_type = type;
    if (!named) {
        finish(frame, start, start + header.csum_offset);
        decoded.finished = true;
        return std::nullopt;
    }
    // Linux marks a frame as large even if it is not longer than one segment.
    decoded.csum = true;
    decoded.large = large && frame.pkt_len - headers > header.gso_size;
    frame.ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
    if (decoded.large)
        frame.ol_flags |= RTE_MBUF_F_RX_LRO;
    frame.tx_offload = rte_mbuf_tx_offload(
        lengths.l2_len, lengths.l3_len, lengths.l4_len, decoded.large ? header.gso_size : 0, 0, 0, 0
    );
    return std::nullopt;
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
