// SPDX-License-Identifier: BSD-3-Clause

// Slow path of from_guest.h, which lists what a hostile driver could try: receives the frame of any
// chain.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "net/counters.h"
#include "net/cursor.h"
#include "net/header.h"
#include "net/offload.h"
#include "net/rules.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/large_buffers.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::net::detail {

inline std::optional<Drop> check_from_guest(const ring::Chain& chain, uint32_t longest) noexcept {
    if (!chain.good)
        return Drop::malformed;
    if (chain.readable_bytes < kHeaderBytes + kEthernetHeader)
        return Drop::too_short;
    if (chain.readable_bytes > kHeaderBytes + longest)
        return Drop::too_long;
    return std::nullopt;
}

/// Copies `bytes` from `cursor` into `mbuf` and further mbufs from `another`, chained to it.
/// Returns false if there are no more mbufs.
template <class Another>
bool fill(rte_mbuf* mbuf, Another& another, Cursor& cursor, uint32_t bytes) noexcept {
    rte_mbuf* last = mbuf;
    mbuf->pkt_len = bytes;
    for (;;) {
        const uint32_t run = std::min<uint32_t>(bytes, rte_pktmbuf_tailroom(last));
        cursor.fetch(rte_pktmbuf_mtod(last, void*), run);
        last->data_len = static_cast<uint16_t>(run);
        bytes -= run;
        if (bytes == 0)
            return true;
        last->next = another();
        if (last->next == nullptr)
            return false;
        last = last->next;
        ++mbuf->nb_segs;
    }
}

/// Initialises a received mbuf as PMDs do. The pool guarantees `next`, `nb_segs` and `refcnt`.
inline void prepare(rte_mbuf* mbuf, uint16_t port) noexcept {
    mbuf->data_off = std::min<uint16_t>(RTE_PKTMBUF_HEADROOM, mbuf->buf_len);
    mbuf->port = port;
    mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL;  // describes the pool's memory, not the frame
    mbuf->packet_type = 0;
    mbuf->data_len = 0;
    mbuf->vlan_tci = 0;
    mbuf->tx_offload = 0;  // some applications treat any frame with tso_segsz as large
}

enum class Taken : uint8_t { frame, dropped, no_mbuf };

/// Whether a header requests an offload, by its first two bytes: flags and gso_type.
inline bool asks(uint16_t start) noexcept {
    static_assert(kGsoNone == 0);
    return (start & (0xff00 | kHeaderNeedsCsum)) != 0;
}

/// Whether one mbuf has room for the frame of a chain.
inline bool fits(const rte_mbuf& mbuf, uint32_t readable_bytes) noexcept {
    return readable_bytes - kHeaderBytes <= rte_pktmbuf_tailroom(&mbuf);
}

/// Whether a chain that is too long for a normal frame may be a TSO frame.
inline bool may_be_large(const ring::Chain& chain, const FromGuestRules& rules) noexcept {
    return (rules.offloads.tso4 || rules.offloads.tso6) &&
           chain.readable_bytes <= kHeaderBytes + kLongestLarge;
}

inline Taken dropped(Drop reason, QueueCounters& counters) noexcept {
    counters.drop(reason);
    return Taken::dropped;
}

/// Decodes the offloads that `header` requests for the frame in `mbuf`. `only_large`: the frame is
/// dropped as too long unless it is a TSO frame.
inline Taken take_unfinished(
    const NetHeader& header,
    rte_mbuf* mbuf,
    bool only_large,
    const FromGuestRules& rules,
    QueueCounters& counters
) noexcept {
    Decoded decoded;
    auto drop = decode(header, rules.offloads, *mbuf, decoded);
    const uint32_t segment =
        decoded.large ? mbuf->l2_len + mbuf->l3_len + mbuf->l4_len + mbuf->tso_segsz : 0U;
    if (!drop && (segment > rules.longest || (only_large && segment == 0)))
        drop = Drop::too_long;
    if (drop) {
        // The mbuf is used for the next frame: free chained mbufs and detach the external buffer.
        rte_pktmbuf_free(std::exchange(mbuf->next, nullptr));
        mbuf->nb_segs = 1;
        if (rules.large_buffers != nullptr && RTE_MBUF_HAS_EXTBUF(mbuf))
            rte_pktmbuf_detach(mbuf);
        return dropped(*drop, counters);
    }
    counters.csum.add(decoded.csum ? 1 : 0);
    if (decoded.large) {
        const uint32_t headers = segment - mbuf->tso_segsz;
        const uint32_t payload = mbuf->pkt_len - headers;
        const uint32_t segments = (payload + mbuf->tso_segsz - 1) / mbuf->tso_segsz;
        counters.large.add(1);
        counters.large_bytes.add(mbuf->pkt_len);
        counters.segments.add(segments);
        counters.segment_bytes.add(payload + segments * headers);
    }
    counters.csum_done.add(decoded.finished ? 1 : 0);
    return Taken::frame;
}

/// Slow path: receives any chain.
template <class Another>
[[gnu::noinline]] Taken take(
    const ring::Chain& chain,
    rte_mbuf* mbuf,
    bool only_large,
    Another& another,
    const FromGuestRules& rules,
    QueueCounters& counters
) noexcept {
    Cursor cursor(chain.readable());
    NetHeader header;
    cursor.fetch(&header, sizeof header);
    const bool unfinished = asks(static_cast<uint16_t>(header.flags | header.gso_type << 8));
    if (unfinished && !rules.offloads.csum)
        return dropped(Drop::bad_header, counters);
    if (only_large && header.gso_type == kGsoNone)
        return dropped(Drop::too_long, counters);
    const uint32_t bytes = chain.readable_bytes - kHeaderBytes;
    if (rules.large_buffers != nullptr && RTE_MBUF_DIRECT(mbuf) &&
        !fits(*mbuf, chain.readable_bytes)) {
        if (bytes > LargeBuffers::kLongest)
            return dropped(Drop::too_long, counters);
        if (!rules.large_buffers->attach(*mbuf, bytes))
            return Taken::no_mbuf;
    }
    if (!fill(mbuf, another, cursor, bytes))
        return Taken::no_mbuf;
    return unfinished ? take_unfinished(header, mbuf, only_large, rules, counters) : Taken::frame;
}

}  // namespace vduse::net::detail
