// SPDX-License-Identifier: BSD-3-Clause

// from_guest: frames that the driver sends become mbufs.
//
// One peek at the ring yields a burst of checked chains; each is one virtio-net header and one
// frame, copied into an mbuf of our own. Every chain goes back with length 0, the bad ones counted
// by reason. When there are no mbufs the chains stay in the ring.
//
// A header that asks for nothing, which its first two bytes say, costs no more than these. One that
// leaves a checksum or segments to others is decoded (net/offload.h), and the mbuf says so.
//
// What a hostile driver could try: a chain shorter than the headers, a frame of gigabytes, a header
// that asks for offloads which were never negotiated, or that lies about its frame. Lengths are the
// checked chain's, header and frame are looked at in our copies, and no more than the longest legal
// frame is ever copied.
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
    /// A frame that does not fit into one mbuf is dropped, unless it is large.
    bool linear = false;
    uint16_t port = RTE_MBUF_PORT_INVALID;  ///< of the mbufs
    Offloads offloads = {};                 ///< negotiated
    /// For frames that do not fit into one mbuf; `linear` means nothing then.
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

/// Fills `mbuf`, and further ones chained to it that `another` gives, with `bytes` from `cursor`.
/// false: out of mbufs.
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

/// What drivers do to a received mbuf, and no more: the pool keeps `next`, `nb_segs` and `refcnt`
/// as they must be.
inline void prepare(rte_mbuf* mbuf, uint16_t port) noexcept {
    mbuf->data_off = std::min<uint16_t>(RTE_PKTMBUF_HEADROOM, mbuf->buf_len);
    mbuf->port = port;
    mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL;  // of the pool's memory, not of a frame
    mbuf->packet_type = 0;
    mbuf->data_len = 0;
    mbuf->vlan_tci = 0;
    mbuf->tx_offload = 0;  // some applications take any tso_segsz for a large frame's
}

enum class Taken : uint8_t { frame, dropped, no_mbuf };

/// Whether a header leaves work to others.
inline bool asks(uint8_t flags, uint8_t gso_type) noexcept {
    return (flags & kHeaderNeedsCsum) != 0 || gso_type != kGsoNone;
}

/// Whether one mbuf has room for the frame of a chain.
inline bool fits(const rte_mbuf& mbuf, uint32_t readable_bytes) noexcept {
    return readable_bytes - kHeaderBytes <= rte_pktmbuf_tailroom(&mbuf);
}

/// Whether a chain, which is too long for a frame, may be one in place of many.
inline bool may_be_large(const ring::Chain& chain, const FromGuestRules& rules) noexcept {
    return (rules.offloads.tso4 || rules.offloads.tso6) &&
           chain.readable_bytes <= kHeaderBytes + kLongestLarge;
}

inline Taken dropped(Drop reason, QueueCounters& counters) noexcept {
    counters.drop(reason);
    return Taken::dropped;
}

/// What the header of the frame in `mbuf` leaves to others. `only_large`: any other is too long.
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
        // The mbuf goes on to the next frame, and so does a buffer that it was given.
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

/// Header and frame of any chain.
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

/// A header of which the first two bytes were fetched, and the frame behind it, in one mbuf.
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

/// The same for what nearly all chains are: one segment, whose frame fits into one mbuf.
inline Taken take_simple(
    const ring::Chain& chain, rte_mbuf* mbuf, const FromGuestRules& rules, QueueCounters& counters
) noexcept {
    const std::byte* host = chain.segments->host;
    // Flags and gso_type in one: the rest means nothing as long as they ask for nothing.
    const auto start = guest::fetch<uint16_t>(host);
    if (asks(static_cast<uint8_t>(start), static_cast<uint8_t>(start >> 8)))
        return take_simple_unfinished(chain, start, mbuf, rules, counters);
    const uint32_t bytes = chain.readable_bytes - kHeaderBytes;
    guest::fetch_bytes(rte_pktmbuf_mtod(mbuf, void*), host + kHeaderBytes, bytes);
    mbuf->pkt_len = bytes;
    mbuf->data_len = static_cast<uint16_t>(bytes);
    return Taken::frame;
}

/// As many mbufs as there are, up to `mbufs.size()`; `prepare` each before use.
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

/// Takes up to `out.size()` frames (at most kMaxBurst) into mbufs of `pool`, which the caller
/// then owns. Returns how many there are in `out`.
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
    // Of an empty pool we hold the last mbufs ourselves: a long frame takes those of later ones.
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
