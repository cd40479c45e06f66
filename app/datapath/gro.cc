// SPDX-License-Identifier: BSD-3-Clause

#include "app/datapath/gro.h"

#include <rte_ether.h>
#include <rte_gro.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace vduse::app {
namespace {

constexpr uint32_t kL2 = sizeof(rte_ether_hdr);
constexpr uint32_t kL3 = sizeof(rte_ipv4_hdr);

const rte_ipv4_hdr* ip_of(const rte_mbuf& frame) {
    return rte_pktmbuf_mtod_offset(&frame, const rte_ipv4_hdr*, kL2);
}
rte_ipv4_hdr* ip_of(rte_mbuf& frame) {
    return rte_pktmbuf_mtod_offset(&frame, rte_ipv4_hdr*, kL2);
}
rte_tcp_hdr* tcp_of(rte_mbuf& frame) {
    return rte_pktmbuf_mtod_offset(&frame, rte_tcp_hdr*, kL2 + kL3);
}

/// Whether the headers are those of a TCP segment with data and no flag but ACK. If so, sets the
/// header lengths in the mbuf.
bool is_segment(rte_mbuf& frame) noexcept {
    if (frame.nb_segs != 1 || rte_mbuf_refcnt_read(&frame) != 1 || !RTE_MBUF_DIRECT(&frame) ||
        frame.data_len < kL2 + kL3 + sizeof(rte_tcp_hdr) ||
        rte_pktmbuf_mtod(&frame, const rte_ether_hdr*)->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4))
        return false;
    const rte_ipv4_hdr& ip = *ip_of(frame);
    constexpr auto kPiece = RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
    if (ip.version_ihl != RTE_IPV4_VHL_DEF || ip.next_proto_id != IPPROTO_TCP ||
        (ip.fragment_offset & kPiece) != 0 ||
        rte_be_to_cpu_16(ip.total_length) != frame.data_len - kL2)
        return false;
    const rte_tcp_hdr& tcp = *tcp_of(frame);
    const uint32_t l4 = (tcp.data_off >> 4) * 4U;
    if (tcp.tcp_flags != RTE_TCP_ACK_FLAG || l4 < sizeof tcp || kL2 + kL3 + l4 >= frame.data_len)
        return false;
    frame.packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
    frame.tx_offload = rte_mbuf_tx_offload(kL2, kL3, l4, 0, 0, 0, 0);
    return true;
}

/// Compares the IP header fields that must be equal but that rte_gro ignores.
bool are_alike(const rte_mbuf& one, const rte_mbuf& other) noexcept {
    return ip_of(one)->type_of_service == ip_of(other)->type_of_service &&
           ip_of(one)->time_to_live == ip_of(other)->time_to_live;
}

/// Whether both checksums of a segment are correct: the sum over data and a correct checksum is
/// 0xffff, or 0 as a checksum. If so, marks the mbuf.
bool is_right(rte_mbuf& frame) noexcept {
    const uint64_t said = frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    const rte_ipv4_hdr* const ip = ip_of(frame);
    if (rte_raw_cksum(ip, kL3) != 0xffff)
        return false;
    if (said == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
        return true;
    if (said != RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN || rte_ipv4_udptcp_cksum(ip, tcp_of(frame)) != 0)
        return false;
    frame.ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return true;
}

/// Sets the headers and the mbuf fields of a merged frame.
void complete(rte_mbuf& frame) noexcept {
    const uint32_t headers = kL2 + kL3 + frame.l4_len;
    uint32_t longest = frame.data_len - headers;
    for (const rte_mbuf* next = frame.next; next != nullptr; next = next->next)
        longest = std::max<uint32_t>(longest, next->data_len);
    rte_ipv4_hdr* const ip = ip_of(frame);
    ip->hdr_checksum = 0;
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    tcp_of(frame)->cksum = rte_ipv4_phdr_cksum(ip, 0);
    frame.tso_segsz = static_cast<uint16_t>(longest);
    frame.ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
    frame.ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
}

/// Merges `run` into `to`, which begins at or before `run`. Returns the number of frames in `to`.
size_t merge_run(void* tables, std::span<rte_mbuf*> run, std::span<rte_mbuf*> to) noexcept {
    const auto count = static_cast<uint16_t>(run.size());
    // rte_gro leaves frames that it does not process at the front, but it processes all of a run.
    const uint16_t refused = rte_gro_reassemble(run.data(), count, tables);
    std::memmove(to.data(), run.data(), run.first(refused).size_bytes());
    const auto room = static_cast<uint16_t>(count - refused);
    const size_t made =
        refused + rte_gro_timeout_flush(tables, 0, RTE_GRO_TCP_IPV4, to.data() + refused, room);
    for (rte_mbuf* const frame : to.first(made))
        if (frame->nb_segs > 1)
            complete(*frame);
    return made;
}

}  // namespace

Result<std::unique_ptr<Gro>> Gro::create(int node) {
    rte_gro_param param{};
    param.gro_types = RTE_GRO_TCP_IPV4;
    // The table size is the product of both: each frame of a burst may be another connection's.
    param.max_flow_num = kBurst;
    param.max_item_per_flow = 1;
    param.socket_id = static_cast<uint16_t>(std::max(node, 0));
    void* const tables = rte_gro_ctx_create(&param);
    if (tables == nullptr)
        return Error{ENOMEM, "tables for the merging of segments"};
    return std::unique_ptr<Gro>(new Gro(tables));
}

Gro::~Gro() {
    rte_gro_ctx_destroy(tables_);
}

std::span<rte_mbuf*> Gro::merge(std::span<rte_mbuf*> frames) noexcept {
    std::array<bool, kBurst + 1> segment{};  // no segment after the last frame
    for (size_t i = 0; i < frames.size(); ++i)
        segment[i] = is_segment(*frames[i]);
    // Checksums are verified only if there is a neighbour.
    const auto joins = [&](size_t first, size_t i) {
        return segment[i] &&
               (i == first ? segment[i + 1] : are_alike(*frames[first], *frames[i])) &&
               is_right(*frames[i]);
    };
    size_t left = 0;
    for (size_t i = 0; i < frames.size();) {
        size_t end = i;
        while (end < frames.size() && joins(i, end))
            ++end;
        // This frame stays as it is; the next one may begin a run.
        if (end - i < 2) {
            frames[left++] = frames[i++];
            continue;
        }
        left += merge_run(tables_, frames.subspan(i, end - i), frames.subspan(left));
        i = end;
    }
    return frames.first(left);
}

}  // namespace vduse::app
