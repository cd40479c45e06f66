// SPDX-License-Identifier: BSD-3-Clause

// Finds the headers of a frame by parsing it.
//
// rte_net_get_ptype of DPDK 22.11 knows one tag of 0x8100, and 0x88a8 before another tag, but not
// 0x88a8 alone or 0x8100 twice. A guest's VLAN devices send large frames with these, too. It reads
// only the type from the Ethernet header, so it is given such a frame as if it began after the
// tags. It checks the version in an IPv4 header, but not in an IPv6 header.
#pragma once

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "net/mbuf_walk.h"

namespace vduse::net {

/// Like rte_net_get_ptype, but also skips tags that it does not know.
inline uint32_t find_behind_tags(const rte_mbuf& frame, rte_net_hdr_lens& lengths) noexcept {
    constexpr uint32_t kLayers = RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK;
    constexpr uint32_t kTag = sizeof(rte_vlan_hdr);
    constexpr uint32_t kType = 2 * RTE_ETHER_ADDR_LEN;
    lengths = {};
    const auto is_tag = [&](uint32_t number, uint16_t other) {
        uint16_t type = 0;
        return copy_from(frame, kType + number * kTag, sizeof type, &type) &&
               (type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || type == other);
    };
    constexpr auto kOuter = RTE_BE16(RTE_ETHER_TYPE_QINQ);
    uint32_t tags = 0;
    while (tags < 3 && is_tag(tags, kOuter))
        ++tags;
    const bool known = tags == (is_tag(0, 0) ? 1 : 2);
    const uint32_t hidden = tags * kTag;
    if (tags == 0 || tags > 2 || known)
        return rte_net_get_ptype(&frame, &lengths, kLayers);
    // None of our mbufs is that small.
    if (frame.data_len < sizeof(rte_ether_hdr) + hidden)
        return RTE_PTYPE_UNKNOWN;
    rte_mbuf rest = frame;
    rest.data_off = static_cast<uint16_t>(rest.data_off + hidden);
    rest.data_len = static_cast<uint16_t>(rest.data_len - hidden);
    rest.pkt_len -= hidden;
    const uint32_t type = rte_net_get_ptype(&rest, &lengths, kLayers);
    lengths.l2_len = static_cast<uint8_t>(lengths.l2_len + hidden);
    return (type & ~uint32_t{RTE_PTYPE_L2_MASK}) |
           (tags == 1 ? RTE_PTYPE_L2_ETHER_VLAN : RTE_PTYPE_L2_ETHER_QINQ);
}

/// Fast path for most frames: TCP or UDP in IPv4 without options and fragments, or in IPv6 without
/// extension headers, no tags, and at least 74 bytes in the first mbuf, which is enough for the
/// longest of these headers. The result is that of rte_net_get_ptype;
/// RTE_PTYPE_UNKNOWN for any other frame.
inline uint32_t find_plain_layers(const rte_mbuf& frame, rte_net_hdr_lens& lengths) noexcept {
    constexpr uint32_t kEther = sizeof(rte_ether_hdr);
    if (frame.data_len < kEther + sizeof(rte_ipv6_hdr) + sizeof(rte_tcp_hdr))
        return RTE_PTYPE_UNKNOWN;
    const auto* const ether = rte_pktmbuf_mtod(&frame, const rte_ether_hdr*);
    const auto* const ip = rte_pktmbuf_mtod_offset(&frame, const uint8_t*, kEther);
    uint32_t type = RTE_PTYPE_L2_ETHER;
    uint8_t protocol = 0;
    uint16_t l3 = 0;
    if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
        rte_ipv4_hdr header;
        std::memcpy(&header, ip, sizeof header);
        constexpr auto kFragment = RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG);
        if (header.version_ihl != RTE_IPV4_VHL_DEF || (header.fragment_offset & kFragment) != 0)
            return RTE_PTYPE_UNKNOWN;
        type |= RTE_PTYPE_L3_IPV4;
        protocol = header.next_proto_id;
        l3 = sizeof header;
    } else if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && ip[0] >> 4 == 6) {
        type |= RTE_PTYPE_L3_IPV6;
        protocol = ip[offsetof(rte_ipv6_hdr, proto)];
        l3 = sizeof(rte_ipv6_hdr);
    }
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
        return RTE_PTYPE_UNKNOWN;
    const bool tcp = protocol == IPPROTO_TCP;
    const uint8_t data_off = ip[l3 + offsetof(rte_tcp_hdr, data_off)];
    lengths = {};
    lengths.l2_len = kEther;
    lengths.l3_len = l3;
    lengths.l4_len = static_cast<uint8_t>(tcp ? (data_off & 0xf0) >> 2 : sizeof(rte_udp_hdr));
    return type | (tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP);
}

/// DPDK's packet type, and the header lengths including tags. An IP header whose version does not
/// match the Ethernet type is ignored.
inline uint32_t find_layers(const rte_mbuf& frame, rte_net_hdr_lens& lengths) noexcept {
    if (const uint32_t plain = find_plain_layers(frame, lengths); plain != RTE_PTYPE_UNKNOWN)
        return plain;
    const uint32_t type = find_behind_tags(frame, lengths);
    if (RTE_ETH_IS_IPV6_HDR(type) == 0)
        return type;
    uint8_t first = 0;
    const bool six = copy_from(frame, lengths.l2_len, sizeof first, &first) && first >> 4 == 6;
    return six ? type : type & RTE_PTYPE_L2_MASK;
}

}  // namespace vduse::net
