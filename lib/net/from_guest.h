// from_guest: frames that the driver sends become mbufs.
//
// One peek at the ring yields a burst of checked chains; each is one virtio-net header and one
// frame, copied into an mbuf of our own. Every chain goes back with length 0, the bad ones counted
// by reason. When there are no mbufs the chains stay in the ring.
//
// What a hostile driver could try: a chain shorter than the headers, a frame of gigabytes, a header
// that asks for offloads which were never negotiated. Lengths are the checked chain's, the header
// is our copy, and no more than the longest legal frame is ever copied.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/guest.h"
#include "net/counters.h"
#include "net/cursor.h"
#include "net/header.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/limits.h"

namespace vduse::net {

struct FromGuestRules {
    uint32_t longest;                       ///< the longest legal frame
    bool linear = false;                    ///< a frame that does not fit into one mbuf is dropped
    uint16_t port = RTE_MBUF_PORT_INVALID;  ///< of the mbufs
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
/// as they must be, and the second cache line is not touched at all.
inline void prepare(rte_mbuf* mbuf, uint16_t port) noexcept {
    mbuf->data_off = std::min<uint16_t>(RTE_PKTMBUF_HEADROOM, mbuf->buf_len);
    mbuf->port = port;
    mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL;  // of the pool's memory, not of a frame
    mbuf->packet_type = 0;
    mbuf->data_len = 0;
    mbuf->vlan_tci = 0;
}

enum class Taken : uint8_t { frame, bad_header, no_mbuf };

inline bool is_bad(uint8_t flags, uint8_t gso_type) noexcept {
    return (flags & kHeaderNeedsCsum) != 0 || gso_type != kGsoNone;
}

/// Header and frame of any chain.
template <class Another>
Taken take(const ring::Chain& chain, rte_mbuf* mbuf, Another& another) noexcept {
    Cursor cursor(chain.readable());
    NetHeader header;
    cursor.fetch(&header, sizeof header);
    if (is_bad(header.flags, header.gso_type))
        return Taken::bad_header;
    return fill(mbuf, another, cursor, chain.readable_bytes - kHeaderBytes) ? Taken::frame
                                                                            : Taken::no_mbuf;
}

/// Whether one mbuf has room for the frame of a chain.
inline bool fits(const rte_mbuf& mbuf, uint32_t readable_bytes) noexcept {
    return readable_bytes - kHeaderBytes <= rte_pktmbuf_tailroom(&mbuf);
}

/// The same for what nearly all chains are: one segment, whose frame fits into one mbuf.
inline Taken take_simple(const ring::Chain& chain, rte_mbuf* mbuf) noexcept {
    const std::byte* host = chain.segments->host;
    // Flags and gso_type in one: the rest means nothing as long as they ask for nothing.
    const auto start = guest::fetch<uint16_t>(host);
    if (is_bad(static_cast<uint8_t>(start), static_cast<uint8_t>(start >> 8)))
        return Taken::bad_header;
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
        if (const auto drop = detail::check_from_guest(chain, rules.longest)) {
            counters.drop(*drop);
            continue;
        }
        rte_mbuf* mbuf = mbufs[delivered];
        detail::prepare(mbuf, rules.port);
        const bool fits = detail::fits(*mbuf, chain.readable_bytes);
        if (!fits && rules.linear) {
            counters.drop(Drop::too_long);
            continue;
        }
        const detail::Taken result = chain.readable_segments == 1 && fits
                                         ? detail::take_simple(chain, mbuf)
                                         : detail::take(chain, mbuf, another);
        if (result == detail::Taken::bad_header) {
            counters.drop(Drop::bad_header);
            continue;
        }
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
