// SPDX-License-Identifier: BSD-3-Clause

// How it works: the headers of each segment are those of the frame, with the fields that differ
// set: lengths, the IPv4 identification, the TCP sequence number and flags. A frame that is not cut
// is its only segment. The checksum field first gets the pseudo header's sum. A complete checksum
// is then the sum of everything from the L4 header to the segment's end, as virtio 1.3, 5.1.6.2,
// specifies.
#include "vduse/offload.h"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "net/mbuf_walk.h"
#include "net/sum.h"

namespace vduse {
namespace {

template <class Header>
Header* header_at(uint8_t* head, uint32_t at) {
    return reinterpret_cast<Header*>(head + at);
}

struct Pseudo6 {
    std::array<uint8_t, 32> addresses;
    rte_be32_t bytes;
    uint32_t protocol;
};

uint16_t pseudo_sum(const uint8_t* head, const Unfinished& what, uint32_t l4_bytes) {
    const uint8_t protocol = what.tcp ? IPPROTO_TCP : IPPROTO_UDP;
    const uint8_t* const ip = head + what.l2;
    if (what.ipv4) {
        struct {
            std::array<uint8_t, 8> addresses;
            uint8_t zero = 0;
            uint8_t protocol = 0;
            rte_be16_t bytes = 0;
        } pseudo;
        std::memcpy(pseudo.addresses.data(), ip + offsetof(rte_ipv4_hdr, src_addr), 8);
        pseudo.protocol = protocol;
        pseudo.bytes = rte_cpu_to_be_16(static_cast<uint16_t>(l4_bytes));
        return rte_raw_cksum(&pseudo, sizeof pseudo);
    }
    Pseudo6 pseudo;
    std::memcpy(pseudo.addresses.data(), ip + offsetof(rte_ipv6_hdr, src_addr), 32);
    pseudo.bytes = rte_cpu_to_be_32(l4_bytes);
    pseudo.protocol = rte_cpu_to_be_32(protocol);
    return rte_raw_cksum(&pseudo, sizeof pseudo);
}

/// Allocates an mbuf with the metadata of `frame` and no offload requests.
rte_mbuf* like(const rte_mbuf& frame) {
    rte_mbuf* const made = rte_pktmbuf_alloc(frame.pool);
    if (made == nullptr)
        return nullptr;
    made->port = frame.port;
    made->packet_type = frame.packet_type;
    made->tx_offload = 0;
    return made;
}

/// Appends bytes, chaining further mbufs if needed. Returns false if the pool is empty.
bool append(rte_mbuf* to, rte_mbuf*& last, const void* from, uint32_t bytes) {
    const auto* next = static_cast<const uint8_t*>(from);
    while (bytes != 0) {
        if (rte_pktmbuf_tailroom(last) == 0) {
            last->next = rte_pktmbuf_alloc(to->pool);
            if (last->next == nullptr)
                return false;
            last = last->next;
            ++to->nb_segs;
        }
        const auto run =
            static_cast<uint16_t>(std::min<uint32_t>(bytes, rte_pktmbuf_tailroom(last)));
        std::memcpy(rte_pktmbuf_mtod_offset(last, uint8_t*, last->data_len), next, run);
        last->data_len = static_cast<uint16_t>(last->data_len + run);
        to->pkt_len += run;
        next += run;
        bytes -= run;
    }
    return true;
}

/// Copies `segment` of `frame` into new mbufs. Returns nullptr if the pool is empty.
rte_mbuf* copy_of(const rte_mbuf& frame, const Segmenter::Segment& segment) {
    rte_mbuf* const made = like(frame);
    if (made == nullptr)
        return nullptr;
    rte_mbuf* last = made;
    const auto add = [&](const void* part, size_t bytes) {
        return append(made, last, part, static_cast<uint32_t>(bytes));
    };
    if (add(segment.head.data(), segment.head.size()) &&
        net::walk(frame, segment.payload, segment.bytes, add))
        return made;
    rte_pktmbuf_free(made);
    return nullptr;
}

}  // namespace

Segmenter::Segmenter(
    const rte_mbuf& frame, const Unfinished& what, bool cut, bool complete
) noexcept
    : frame_(&frame),
      what_(what),
      cut_(cut && what.segment != 0),
      complete_(complete),
      payload_bytes_(cut_ ? what.segment : frame.pkt_len - what.headers()),
      count_(cut_ ? (what.end - what.headers() + payload_bytes_ - 1) / payload_bytes_ : 1) {
    net::copy_from(frame, 0, what.headers(), frame_head_.data());
}

Segmenter::Segment Segmenter::next() noexcept {
    const uint32_t at = next_ * payload_bytes_;
    const uint32_t left = frame_->pkt_len - what_.headers() - at;
    const Segment segment{
        std::span<const uint8_t>(head_).first(what_.headers()),
        what_.headers() + at,
        cut_ ? std::min(left, payload_bytes_) : left};
    std::memcpy(head_.data(), frame_head_.data(), what_.headers());
    if (cut_) {
        set_ip(segment.bytes);
        set_tcp(next_ == 0, next_ + 1 == count_);
    } else if (what_.ip_csum) {
        set_ip(what_.end - what_.headers());
    }
    if (what_.csum)
        set_csum(segment);
    ++next_;
    return segment;
}

void Segmenter::set_ip(uint32_t payload_bytes) noexcept {
    if (what_.ipv4) {
        auto* const ip = header_at<rte_ipv4_hdr>(head_.data(), what_.l2);
        ip->total_length =
            rte_cpu_to_be_16(static_cast<uint16_t>(what_.l3 + what_.l4 + payload_bytes));
        ip->packet_id =
            rte_cpu_to_be_16(static_cast<uint16_t>(rte_be_to_cpu_16(ip->packet_id) + next_));
        ip->hdr_checksum = 0;
        ip->hdr_checksum = static_cast<uint16_t>(~rte_raw_cksum(ip, what_.l3));
        return;
    }
    auto* const ip = header_at<rte_ipv6_hdr>(head_.data(), what_.l2);
    ip->payload_len =
        rte_cpu_to_be_16(static_cast<uint16_t>(what_.l3 - sizeof *ip + what_.l4 + payload_bytes));
}

void Segmenter::set_tcp(bool first, bool last) noexcept {
    auto* const tcp = header_at<rte_tcp_hdr>(head_.data(), what_.l4_at());
    tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + next_ * payload_bytes_);
    if (!last)
        tcp->tcp_flags &= static_cast<uint8_t>(~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG));
    if (!first)
        tcp->tcp_flags &= static_cast<uint8_t>(~RTE_TCP_CWR_FLAG);
}

void Segmenter::set_csum(const Segment& segment) noexcept {
    uint8_t* const l4 = head_.data() + what_.l4_at();
    const uint32_t payload = cut_ ? segment.bytes : what_.end - what_.headers();
    uint16_t field = 0;
    if (cut_ || !what_.pseudo) {
        field = pseudo_sum(head_.data(), what_, what_.l4 + payload);
        std::memcpy(l4 + what_.csum_offset(), &field, sizeof field);
    }
    if (!complete_)
        return;
    // The L4 header has an even length, so the two sums can be added.
    const uint32_t sum =
        uint32_t{rte_raw_cksum(l4, what_.l4)} + net::raw_sum(*frame_, segment.payload, payload);
    field = static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16)));
    if (field == 0 && !what_.tcp)
        field = 0xffff;
    std::memcpy(l4 + what_.csum_offset(), &field, sizeof field);
}

std::optional<Drop> Completion::begin(rte_mbuf* frame, const Offloads& offloads) noexcept {
    Unfinished what;
    if (const auto drop = read_unfinished(*frame, what)) {
        rte_pktmbuf_free(frame);
        return drop;
    }
    frame_ = frame;
    // A large frame without RX_L4_CKSUM_NONE is always cut: a receiver would not take it for one.
    const bool cut = what.segment != 0 && (!what.pseudo || !what.large_for(offloads));
    const bool complete = what.csum && (cut || !offloads.csum || !what.pseudo);
    as_it_is_ = !cut && !complete && !what.ip_csum;
    segmenter_ = as_it_is_ ? Segmenter() : Segmenter(*frame, what, cut, complete);
    return std::nullopt;
}

uint16_t Completion::next(std::span<rte_mbuf*> frames) noexcept {
    if (!busy() || frames.empty())
        return 0;
    if (as_it_is_) {
        frames[0] = std::exchange(frame_, nullptr);
        return 1;
    }
    uint16_t count = 0;
    const bool own =
        segmenter_.count() == 1 && rte_mbuf_refcnt_read(frame_) == 1 && RTE_MBUF_DIRECT(frame_);
    while (count < frames.size() && segmenter_.left() != 0) {
        const auto segment = segmenter_.next();
        rte_mbuf* made = nullptr;
        if (own && frame_->data_len >= segment.head.size()) {
            made = std::exchange(frame_, nullptr);
            std::memcpy(rte_pktmbuf_mtod(made, uint8_t*), segment.head.data(), segment.head.size());
            ask(*made, Unfinished());  // nothing is left
        } else {
            made = copy_of(*frame_, segment);
        }
        if (made == nullptr) {
            segmenter_.back();
            break;
        }
        frames[count++] = made;
    }
    if (segmenter_.left() == 0)
        rte_pktmbuf_free(std::exchange(frame_, nullptr));
    return count;
}

uint32_t Completion::abandon() noexcept {
    if (!busy())
        return 0;
    rte_pktmbuf_free(std::exchange(frame_, nullptr));
    return as_it_is_ ? 1 : segmenter_.left();
}

}  // namespace vduse
