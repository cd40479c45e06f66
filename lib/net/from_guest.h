// from_guest: frames that the driver sends become mbufs.
//
// One look at the ring yields a burst of checked chains; each is one virtio-net header and one
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

#include "net/header.h"
#include "net/segments.h"
#include "net/stats.h"
#include "ring/chain.h"

namespace vduse::net {

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

/// Fills `mbuf`, and further ones chained to it, with `bytes` from `cursor`. false: out of mbufs.
inline bool fill(rte_mbuf* mbuf, rte_mempool* pool, Cursor& cursor, uint32_t bytes) noexcept {
    rte_mbuf* last = mbuf;
    mbuf->pkt_len = bytes;
    for (;;) {
        const uint32_t run = std::min<uint32_t>(bytes, rte_pktmbuf_tailroom(last));
        cursor.fetch(rte_pktmbuf_mtod(last, void*), run);
        last->data_len = static_cast<uint16_t>(run);
        bytes -= run;
        if (bytes == 0)
            return true;
        last->next = rte_pktmbuf_alloc(pool);
        if (last->next == nullptr)
            return false;
        last = last->next;
        ++mbuf->nb_segs;
    }
}

/// As many mbufs as there are, up to `mbufs.size()`.
inline uint16_t allocate(rte_mempool* pool, std::span<rte_mbuf*> mbufs) noexcept {
    const auto wanted = static_cast<uint16_t>(mbufs.size());
    if (rte_pktmbuf_alloc_bulk(pool, mbufs.data(), wanted) == 0)
        return wanted;
    uint16_t count = 0;
    while (count < wanted && (mbufs[count] = rte_pktmbuf_alloc(pool)) != nullptr)
        ++count;
    return count;
}

}  // namespace detail

/// Takes up to `out.size()` frames (at most ring::kMaxBurst) into mbufs of `pool`, which the caller
/// then owns. `longest` is the longest legal frame. Returns how many there are in `out`.
template <ring::DeviceRing Ring>
uint16_t from_guest(
    Ring& ring,
    rte_mempool* pool,
    uint32_t longest,
    std::span<rte_mbuf*> out,
    QueueCounters& counters
) noexcept {
    std::array<ring::Chain, ring::kMaxBurst> chains;
    std::array<rte_mbuf*, ring::kMaxBurst> mbufs;
    constexpr std::array<uint32_t, ring::kMaxBurst> kNothingWritten{};

    const uint16_t peeked =
        ring.peek(std::span(chains).first(std::min<size_t>(out.size(), chains.size())));
    if (peeked == 0)
        return 0;
    const uint16_t seen = detail::allocate(pool, std::span(mbufs).first(peeked));
    if (seen < peeked)
        counters.no_mbuf.add(1);
    uint16_t taken = 0;
    uint16_t delivered = 0;
    uint64_t bytes = 0;
    for (; taken < seen; ++taken) {
        const ring::Chain& chain = chains[taken];
        if (const auto drop = detail::check_from_guest(chain, longest)) {
            counters.drop(*drop);
            continue;
        }
        Cursor cursor(chain.readable());
        NetHeader header;
        cursor.fetch(&header, sizeof header);
        if ((header.flags & kHeaderNeedsCsum) != 0 || header.gso_type != kGsoNone) {
            counters.drop(Drop::bad_header);
            continue;
        }
        rte_mbuf* mbuf = mbufs[delivered];
        if (!detail::fill(mbuf, pool, cursor, chain.readable_bytes - kHeaderBytes)) {
            counters.no_mbuf.add(1);
            break;
        }
        bytes += mbuf->pkt_len;
        out[delivered++] = mbuf;
    }
    rte_pktmbuf_free_bulk(mbufs.data() + delivered, seen - delivered);
    ring.complete(std::span(kNothingWritten).first(taken));
    counters.frames.add(delivered);
    counters.bytes.add(bytes);
    return delivered;
}

}  // namespace vduse::net
