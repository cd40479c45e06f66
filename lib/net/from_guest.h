// SPDX-License-Identifier: BSD-3-Clause

// from_guest: receives frames that the driver sends into mbufs.
//
// One peek at the ring yields a burst of checked chains. Each is one virtio-net header and one
// frame, which is copied into an mbuf. Every chain is returned with length 0; bad ones are counted
// by reason. If there are no mbufs, the chains stay in the ring.
//
// The first two bytes of a header tell whether it requests an offload. If not, the fast path does
// not read the rest of it. Otherwise it is decoded (net/offload.h) and the mbuf's flags are set.
//
// What a hostile driver could try: a chain shorter than the headers, a frame of gigabytes, a header
// that requests offloads that were not negotiated, or that does not match its frame. Lengths are
// those of the checked chain, header and frame are parsed in our copies, and no more than the
// longest legal frame is ever copied.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "base/guest.h"
#include "net/counters.h"
#include "net/cursor.h"
#include "net/header.h"
#include "net/offload.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/large_buffers.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::net {

struct FromGuestRules {
    uint32_t longest;  ///< the longest legal frame
    /// A frame that does not fit into one mbuf is dropped, unless it is a TSO frame.
    bool linear = false;
    uint16_t port = RTE_MBUF_PORT_INVALID;  ///< of the mbufs
    Offloads offloads = {};                 ///< negotiated
    /// For frames that do not fit into one mbuf. If set, `linear` is ignored.
    LargeBuffers* large_buffers = nullptr;
};

namespace detail {

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

/// Whether a header requests an offload.
inline bool asks(uint8_t flags, uint8_t gso_type) noexcept {
    return (flags & kHeaderNeedsCsum) != 0 || gso_type != kGsoNone;
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
    const bool unfinished = asks(header.flags, header.gso_type);
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

/// Fast path, with offloads: `start` is the first two bytes of the header, which were fetched
/// already. The frame fits into one mbuf.
[[gnu::noinline]] inline Taken take_simple_unfinished(
    const ring::Chain& chain,
    uint16_t start,
    rte_mbuf* mbuf,
    const FromGuestRules& rules,
    QueueCounters& counters
) noexcept {
    if (!rules.offloads.csum)
        return dropped(Drop::bad_header, counters);
    const std::byte* host = chain.segments->host;
    NetHeader header;
    auto* const to = reinterpret_cast<std::byte*>(&header);
    std::memcpy(to, &start, sizeof start);
    guest::fetch_bytes(to + sizeof start, host + sizeof start, kHeaderBytes - sizeof start);
    const uint32_t bytes = chain.readable_bytes - kHeaderBytes;
    guest::fetch_bytes(rte_pktmbuf_mtod(mbuf, void*), host + kHeaderBytes, bytes);
    mbuf->pkt_len = bytes;
    mbuf->data_len = static_cast<uint16_t>(bytes);
    return take_unfinished(header, mbuf, false, rules, counters);
}

/// Fast path: a chain of one segment whose frame fits into one mbuf.
inline Taken take_simple(
    const ring::Chain& chain, rte_mbuf* mbuf, const FromGuestRules& rules, QueueCounters& counters
) noexcept {
    const std::byte* host = chain.segments->host;
    // Flags and gso_type in one fetch: if they request nothing, the rest has no meaning.
    const auto start = guest::fetch<uint16_t>(host);
    if (asks(static_cast<uint8_t>(start), static_cast<uint8_t>(start >> 8)))
        return take_simple_unfinished(chain, start, mbuf, rules, counters);
    const uint32_t bytes = chain.readable_bytes - kHeaderBytes;
    guest::fetch_bytes(rte_pktmbuf_mtod(mbuf, void*), host + kHeaderBytes, bytes);
    mbuf->pkt_len = bytes;
    mbuf->data_len = static_cast<uint16_t>(bytes);
    return Taken::frame;
}

/// Allocates up to `mbufs.size()` mbufs, fewer if the pool runs out. Call `prepare` on each before
/// use.
inline uint16_t allocate(rte_mempool* pool, std::span<rte_mbuf*> mbufs) noexcept {
    const auto wanted = static_cast<uint16_t>(mbufs.size());
    if (rte_mempool_get_bulk(pool, reinterpret_cast<void**>(mbufs.data()), wanted) == 0)
        return wanted;
    uint16_t count = 0;
    while (count < wanted && (mbufs[count] = rte_mbuf_raw_alloc(pool)) != nullptr)
        ++count;
    return count;
}

}  // namespace detail

/// Receives up to `out.size()` frames (at most kMaxBurst) into mbufs of `pool`, which the caller
/// then owns. Returns the number of frames in `out`.
template <ring::DeviceRing Ring>
uint16_t from_guest(
    Ring& ring,
    rte_mempool* pool,
    const FromGuestRules& rules,
    std::span<rte_mbuf*> out,
    QueueCounters& counters
) noexcept {
    static_assert(kMaxBurst <= ring::kWindow);
    std::array<ring::Chain, kMaxBurst> chains;
    std::array<rte_mbuf*, kMaxBurst> mbufs;
    static constexpr std::array<uint32_t, kMaxBurst> kNothingWritten{};

    const uint16_t peeked =
        ring.peek(std::span(chains).first(std::min<size_t>(out.size(), chains.size())));
    if (peeked == 0)
        return 0;
    uint16_t ready = detail::allocate(pool, std::span(mbufs).first(peeked));
    for (uint16_t i = 0; i < ready; ++i)
        guest::prefetch_to_store(mbufs[i]);
    uint16_t taken = 0;
    uint16_t delivered = 0;
    uint64_t bytes = 0;
    // If the pool is empty, a long frame uses mbufs allocated for later chains.
    const auto another = [&]() noexcept -> rte_mbuf* {
        rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
        if (mbuf == nullptr && delivered + 1 < ready) {
            mbuf = mbufs[--ready];
            detail::prepare(mbuf, rules.port);
        }
        return mbuf;
    };
    for (; taken < peeked && delivered < ready; ++taken) {
        const ring::Chain& chain = chains[taken];
        const auto drop = detail::check_from_guest(chain, rules.longest);
        const bool too_long = drop == Drop::too_long && detail::may_be_large(chain, rules);
        if (drop && !too_long) {
            counters.drop(*drop);
            continue;
        }
        rte_mbuf* mbuf = mbufs[delivered];
        detail::prepare(mbuf, rules.port);
        const bool fits = detail::fits(*mbuf, chain.readable_bytes);
        const bool only_large =
            too_long || (!fits && rules.linear && rules.large_buffers == nullptr);
        if (only_large && !detail::may_be_large(chain, rules)) {
            counters.drop(Drop::too_long);
            continue;
        }
        const detail::Taken result =
            chain.readable_segments == 1 && fits && !too_long
                ? detail::take_simple(chain, mbuf, rules, counters)
                : detail::take(chain, mbuf, only_large, another, rules, counters);
        if (result == detail::Taken::dropped)
            continue;
        if (result == detail::Taken::no_mbuf)
            break;
        bytes += mbuf->pkt_len;
        out[delivered++] = mbuf;
    }
    if (delivered != ready)
        rte_pktmbuf_free_bulk(mbufs.data() + delivered, ready - delivered);
    ring.complete(std::span(kNothingWritten).first(taken));
    counters.frames.add(delivered);
    counters.bytes.add(bytes);
    if (taken < peeked)
        counters.no_mbuf.add(1);
    return delivered;
}

}  // namespace vduse::net
