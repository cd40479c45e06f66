// SPDX-License-Identifier: BSD-3-Clause

// Fast path of to_guest.h, which lists what a hostile driver could try.
//
// Everything that the frames of a burst have in common is computed once.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>

#include "net/filter.h"
#include "net/header.h"
#include "net/offload.h"
#include "net/rules.h"
#include "ring/chain.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::net::detail {

/// Fast path: frames of one mbuf, into single buffers with room for them.
struct SimpleToGuest {
    uint32_t lengths;  ///< how many lengths a frame may have, from that of an Ethernet header on
    bool csum;
    const Filter* filter;  ///< nullptr: all frames pass
    const rte_mempool* pool;

    /// `first`: the first frame of the burst.
    SimpleToGuest(const QueueRules& rules, const rte_mbuf& first) noexcept
        : lengths(rules.longest - kEthernetHeader + 1),
          csum(rules.offloads.csum),
          filter(rules.filter->promiscuous ? nullptr : rules.filter),
          pool(first.pool) {}

    /// Whether `frame` is a single mbuf of a legal length that the driver wants, and that fits into
    /// `buffer`.
    [[nodiscard]] bool fits(const rte_mbuf& frame, const ring::Segment& buffer) const noexcept {
        const uint32_t bytes = frame.data_len;
        return frame.nb_segs == 1 && bytes - kEthernetHeader < lengths &&
               kHeaderBytes + bytes <= buffer.bytes &&
               (filter == nullptr ||
                filter->accepts(
                    {rte_pktmbuf_mtod(&frame, const uint8_t*), std::min(bytes, Filter::kHead)}
                ));
    }
    /// The offload flags that matter.
    static uint64_t flags_of(const rte_mbuf& frame) noexcept {
        return frame.ol_flags & (kAskedFlags | RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    }
    /// The header of a frame with such `flags` in one buffer; `last` is 0 if the slow path must
    /// find it.
    [[nodiscard]] WireHeader header(const rte_mbuf& frame, uint64_t flags) const noexcept {
        if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
            return wire({csum ? kHeaderDataValid : uint8_t{0}, kGsoNone, 0, 0, 0, 0, 1});
        return flags == RTE_MBUF_F_RX_L4_CKSUM_NONE && csum ? encode_plain(frame)
                                                            : WireHeader{0, 0};
    }
    /// Not 0 if a frame cannot be returned to the pool together with the first one.
    [[nodiscard]] uint64_t free_singly(const rte_mbuf& frame) const noexcept {
        return static_cast<uint64_t>(frame.pool != pool) |
               static_cast<uint64_t>(rte_mbuf_refcnt_read(&frame) != 1) |
               (frame.ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL));
    }
};

}  // namespace vduse::net::detail
