// SPDX-License-Identifier: BSD-3-Clause

// How it works: an mbuf's flags tell what work a frame leaves, its lengths tell where. Neither is
// trusted: an application may be wrong, and a PMD may leave values of an earlier frame in an mbuf.
// So the lengths must match the headers. If those of a received frame do not, its headers are
// parsed.
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <optional>

#include "net/layers.h"
#include "net/mbuf_walk.h"
#include "vduse/offload.h"

namespace vduse {
namespace {

/// Offloads that are not supported.
constexpr uint64_t kUnknown = RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_TUNNEL_MASK |
                              RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_UDP_CKSUM;

bool is_left(uint64_t flags) {
    return (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

/// Sets the layers of a received frame from its packet type.
void set_layers(uint32_t type, const rte_mbuf& frame, Unfinished& what) {
    const bool ip = RTE_ETH_IS_IPV4_HDR(type) || RTE_ETH_IS_IPV6_HDR(type);
    what.ipv4 = RTE_ETH_IS_IPV4_HDR(type) != 0;
    what.tcp = ip && (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP;
    what.csum = what.tcp || (ip && (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_UDP);
    what.end = frame.pkt_len;
}

/// Finds the layers by parsing the frame.
void find_layers(const rte_mbuf& frame, Unfinished& what) {
    rte_net_hdr_lens lengths{};
    set_layers(net::find_layers(frame, lengths), frame, what);
    what.l2 = lengths.l2_len;
    what.l3 = lengths.l3_len;
    what.l4 = lengths.l4_len;
}

/// Takes the layers from the mbuf. `from_guest` sets them; other receivers may leave old values.
void take_layers(const rte_mbuf& frame, Unfinished& what) {
    set_layers(frame.packet_type, frame, what);
    what.l2 = frame.l2_len;
    what.l3 = frame.l3_len;
    what.l4 = frame.l4_len;
}

/// The offloads that an application requests.
void find_asked(const rte_mbuf& frame, Unfinished& what) {
    const uint64_t flags = frame.ol_flags;
    const uint64_t l4 = flags & RTE_MBUF_F_TX_L4_MASK;
    const bool large = (flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
    what.ipv4 = (flags & RTE_MBUF_F_TX_IPV6) == 0;
    what.tcp = large || l4 == RTE_MBUF_F_TX_TCP_CKSUM;
    what.csum = what.tcp || l4 == RTE_MBUF_F_TX_UDP_CKSUM;
    what.ip_csum = what.ipv4 && (large || (flags & RTE_MBUF_F_TX_IP_CKSUM) != 0);
    what.segment = large ? frame.tso_segsz : uint16_t{0};
    what.l2 = frame.l2_len;
    what.l3 = frame.l3_len;
    // If the frame is not cut, the application need not set l4_len, so it may be wrong.
    what.l4 = frame.l4_len;
    if (!large)
        what.l4 = what.tcp ? sizeof(rte_tcp_hdr) : what.csum ? sizeof(rte_udp_hdr) : 0;
}

/// The size of the IP packet, from its header; nullopt if `what` does not match the header.
std::optional<uint32_t> check_ip(const rte_mbuf& frame, const Unfinished& what) {
    const uint8_t protocol = what.tcp ? IPPROTO_TCP : IPPROTO_UDP;
    if (what.ipv4) {
        rte_ipv4_hdr ip;
        if (what.l3 < sizeof ip || !net::copy_from(frame, what.l2, sizeof ip, &ip) ||
            ip.version_ihl != (0x40 | what.l3 / 4U) || what.l3 % 4 != 0 ||
            (what.csum && ip.next_proto_id != protocol))
            return std::nullopt;
        return rte_be_to_cpu_16(ip.total_length);
    }
    rte_ipv6_hdr ip;
    // With extension headers, the protocol is in the last of them.
    if (what.l3 < sizeof ip || !net::copy_from(frame, what.l2, sizeof ip, &ip) ||
        (rte_be_to_cpu_32(ip.vtc_flow) >> 28) != 6 ||
        (what.csum && what.l3 == sizeof ip && ip.proto != protocol))
        return std::nullopt;
    return sizeof ip + rte_be_to_cpu_16(ip.payload_len);
}

/// Whether the headers are where `what` says, as far as this code depends on it. Sets `cwr` and
/// `end` of `what` from the headers.
bool check_headers(const rte_mbuf& frame, Unfinished& what) {
    if (what.l2 < sizeof(rte_ether_hdr) || what.headers() > kMostHeaders ||
        what.headers() > frame.pkt_len)
        return false;
    const auto ip_bytes = check_ip(frame, what);
    if (!ip_bytes)
        return false;
    if (what.tcp) {
        rte_tcp_hdr tcp;
        if (what.l4 < sizeof tcp || !net::copy_from(frame, what.l4_at(), sizeof tcp, &tcp) ||
            (what.segment != 0 && what.l4 != (tcp.data_off >> 4) * 4))
            return false;
        what.cwr = what.segment != 0 && (tcp.tcp_flags & RTE_TCP_CWR_FLAG) != 0;
    } else if (what.csum && what.l4 != sizeof(rte_udp_hdr)) {
        return false;
    }
    // A frame from an application may be padded, and padding is not summed. In a received frame,
    // where `end` is set already, everything is summed.
    if (what.end == 0) {
        what.end = what.l2 + *ip_bytes;
        if (what.end < what.headers() || what.end > frame.pkt_len)
            return false;
    }
    return what.segment == 0 || what.end == frame.pkt_len;
}

/// Whether there is a checksum: in UDP, zero means none.
bool has_udp_csum(const rte_mbuf& frame, const Unfinished& what) {
    rte_udp_hdr udp;
    return what.tcp ||
           (net::copy_from(frame, what.l4_at(), sizeof udp, &udp) && udp.dgram_cksum != 0);
}

/// Reads what a received frame leaves to be done. A PMD may set these flags on any frame. Returns
/// false if there is nothing that can be done.
bool read_left(const rte_mbuf& frame, Unfinished& what) {
    const bool large = (frame.ol_flags & RTE_MBUF_F_RX_LRO) != 0 && frame.tso_segsz != 0;
    what.segment = large ? frame.tso_segsz : uint16_t{0};
    what.pseudo = is_left(frame.ol_flags);
    const auto fits = [&] {
        return what.csum && (!large || what.tcp) && check_headers(frame, what);
    };
    take_layers(frame, what);
    bool fit = fits();
    if (!fit) {
        find_layers(frame, what);
        fit = fits();
    }
    return fit && (large || has_udp_csum(frame, what));
}

}  // namespace

std::optional<Drop> read_unfinished(const rte_mbuf& frame, Unfinished& what) noexcept {
    what = {};
    const uint64_t flags = frame.ol_flags;
    if ((flags & kAskedFlags) != 0) {
        const uint64_t l4 = flags & RTE_MBUF_F_TX_L4_MASK;
        if ((flags & kUnknown) != 0 || l4 == RTE_MBUF_F_TX_SCTP_CKSUM)
            return Drop::bad_csum;
        find_asked(frame, what);
        // IPv6 has no header checksum, so nothing may be left.
        if (!what.any() || !check_headers(frame, what))
            return what.segment != 0 ? Drop::bad_gso : Drop::bad_csum;
    } else if (is_left(flags) || (flags & RTE_MBUF_F_RX_LRO) != 0) {
        if (!read_left(frame, what)) {
            const bool large = what.segment != 0;
            what = {};
            return large ? std::optional(Drop::bad_gso) : std::nullopt;
        }
    } else {
        return std::nullopt;
    }
    if ((flags & RTE_MBUF_F_TX_TCP_SEG) != 0 && what.segment == 0)
        return Drop::bad_gso;
    if (what.segment != 0 && frame.pkt_len > kLongestLarge)
        return Drop::too_long;
    if (what.segment != 0 && frame.pkt_len - what.headers() <= what.segment)
        what.segment = 0;
    return std::nullopt;
}

void ask(rte_mbuf& frame, const Unfinished& what) noexcept {
    uint64_t flags = 0;
    if (what.any())
        flags |= what.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    if (what.csum)
        flags |= what.tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
    if (what.segment != 0)
        flags |= RTE_MBUF_F_TX_TCP_SEG;
    if (what.ip_csum)
        flags |= RTE_MBUF_F_TX_IP_CKSUM;
    frame.ol_flags &=
        ~(kAskedFlags | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_RX_L4_CKSUM_MASK |
          RTE_MBUF_F_RX_LRO);
    frame.ol_flags |= flags;
    frame.tx_offload = rte_mbuf_tx_offload(what.l2, what.l3, what.l4, what.segment, 0, 0, 0);
}

uint32_t longest_segment(const rte_mbuf& frame) noexcept {
    Unfinished what;
    if (read_unfinished(frame, what) || what.segment == 0)
        return frame.pkt_len;
    return uint32_t{what.headers()} + what.segment;
}

}  // namespace vduse
