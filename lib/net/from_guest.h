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

/// Fast path: a frame in one buffer that fits into one mbuf.
struct SimpleFromGuest {
    // The fields of an mbuf that PMDs write together. They are put together in registers: what is
    // put together in memory is loaded in wider pieces than it was stored in, which stalls.
    static constexpr size_t kRearmAt = offsetof(rte_mbuf, data_off);
    static_assert(offsetof(rte_mbuf, refcnt) == kRearmAt + 2);
    static_assert(offsetof(rte_mbuf, nb_segs) == kRearmAt + 4);
    static_assert(offsetof(rte_mbuf, port) == kRearmAt + 6);
    static constexpr size_t kReceivedAt = offsetof(rte_mbuf, packet_type);
    static_assert(offsetof(rte_mbuf, pkt_len) == kReceivedAt + 4);
    static_assert(offsetof(rte_mbuf, data_len) == kReceivedAt + 8);
    static_assert(offsetof(rte_mbuf, vlan_tci) == kReceivedAt + 10);
    static_assert(offsetof(rte_mbuf, hash) == kReceivedAt + 12);

    uint32_t lengths;  ///< how many lengths a frame may have, from that of an Ethernet header on
    uint64_t rearm;    ///< data_off, refcnt, nb_segs, port
    uint64_t ol_flags;

    /// The mbufs of `pool` are alike.
    SimpleFromGuest(const FromGuestRules& rules, rte_mempool* pool) noexcept
        : lengths(lengths_of(rules.longest, rte_pktmbuf_data_room_size(pool))),
          rearm(
              RTE_PKTMBUF_HEADROOM | uint64_t{1} << 16 | uint64_t{1} << 32 |
              uint64_t{rules.port} << 48
          ),
          // Flags that are not about the frame but about the memory of the pool's mbufs stay.
          ol_flags(
              (rte_pktmbuf_priv_flags(pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF) != 0
                  ? RTE_MBUF_F_EXTERNAL
                  : 0
          ) {}

    static uint32_t lengths_of(uint32_t longest, uint32_t data_room) noexcept {
        constexpr uint32_t kLeast = RTE_PKTMBUF_HEADROOM + kEthernetHeader;
        return std::min(longest - kEthernetHeader, std::max(data_room, kLeast - 1) - kLeast) + 1;
    }
    /// Whether the frame in a buffer of `bytes` has a legal length and fits into an mbuf.
    [[nodiscard]] bool fits(uint32_t bytes) const noexcept {
        return bytes - kHeaderBytes - kEthernetHeader < lengths;
    }
    /// Initialises `mbuf`, as `prepare`, and copies `bytes` of the frame into it.
    void copy(const std::byte* frame, uint32_t bytes, rte_mbuf* mbuf) const noexcept {
        const std::array<uint64_t, 2> received = {uint64_t{bytes} << 32, uint64_t{bytes} & 0xffff};
        auto* const fields = reinterpret_cast<std::byte*>(mbuf);
        std::memcpy(fields + kRearmAt, &rearm, sizeof rearm);
        mbuf->ol_flags = ol_flags;
        std::memcpy(fields + kReceivedAt, &received, sizeof received);
        mbuf->tx_offload = 0;
        auto* const to = static_cast<std::byte*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM;
        guest::fetch_bytes(to, frame, bytes);
    }
};

/// The mbufs of a burst, and the frames received so far.
struct Receiver {
    rte_mempool* pool;
    const FromGuestRules& rules;
    std::span<rte_mbuf*> out;  ///< the frames, then mbufs for more of them
    QueueCounters& counters;
    uint16_t delivered = 0;  ///< frames in `out`
    uint16_t ready = 0;      ///< mbufs in `out`, those of frames included
    uint64_t bytes = 0;      ///< of the frames

    /// Allocates mbufs for `count` more chains.
    [[gnu::always_inline]] void allocate(uint16_t count) noexcept {
        // They are not prefetched: a frame only stores to its mbuf, which nothing waits for, and 32
        // more cache misses at once make those for the buffers wait (6 cycles a frame).
        ready = static_cast<uint16_t>(ready + detail::allocate(pool, out.subspan(ready, count)));
    }

    /// Receives the frames in simple chains. Returns how many chains are done with: fewer than all
    /// if there are no more mbufs.
    [[gnu::always_inline]] uint16_t receive_simple(std::span<const ring::Segment> buffers
    ) noexcept {
        const SimpleFromGuest simple(rules, pool);
        // Locals, so that they stay in registers: a call is given `this`.
        rte_mbuf* const* const mbufs = out.data();
        size_t usable = ready;
        size_t frames = delivered;
        uint64_t frame_bytes = 0;
        size_t taken = 0;
        for (; taken < buffers.size(); ++taken) {
            const std::byte* const host = buffers[taken].host;
            const uint32_t length = buffers[taken].bytes;
            if (frames < usable && simple.fits(length)) [[likely]] {
                // Flags and gso_type in one fetch: if they request nothing, the rest has no
                // meaning.
                const auto start = guest::fetch<uint16_t>(host);
                simple.copy(host + kHeaderBytes, length - kHeaderBytes, mbufs[frames]);
                if (!asks(start)) [[likely]] {
                    ++frames;
                    frame_bytes += length - kHeaderBytes;
                    continue;
                }
                delivered = static_cast<uint16_t>(frames);
                receive_unfinished(host, start);
            } else {
                delivered = static_cast<uint16_t>(frames);
                if (!receive({&buffers[taken], 1, 0, length, 0, true}))
                    break;
            }
            frames = delivered;
            usable = ready;
        }
        delivered = static_cast<uint16_t>(frames);
        bytes += frame_bytes;
        return static_cast<uint16_t>(taken);
    }

    /// Slow path: receives any chain. Returns false if there is no mbuf for it.
    [[gnu::noinline]] bool receive(const ring::Chain& chain) noexcept {
        if (delivered == ready)
            return false;
        const auto drop = check_from_guest(chain, rules.longest);
        const bool too_long = drop == Drop::too_long && may_be_large(chain, rules);
        if (drop && !too_long) {
            counters.drop(*drop);
            return true;
        }
        rte_mbuf* mbuf = out[delivered];
        prepare(mbuf, rules.port);
        const bool only_large = too_long || (!fits(*mbuf, chain.readable_bytes) && rules.linear &&
                                             rules.large_buffers == nullptr);
        if (only_large && !may_be_large(chain, rules)) {
            counters.drop(Drop::too_long);
            return true;
        }
        // If the pool is empty, a long frame uses mbufs allocated for later chains.
        const auto another = [this]() noexcept -> rte_mbuf* {
            rte_mbuf* next = rte_pktmbuf_alloc(pool);
            if (next == nullptr && delivered + 1 < ready) {
                next = out[--ready];
                prepare(next, rules.port);
            }
            return next;
        };
        const Taken taken = take(chain, mbuf, only_large, another, rules, counters);
        deliver(taken);
        return taken != Taken::no_mbuf;
    }

    /// A simple frame, which was copied, and whose header requests offloads. `start`: the header's
    /// first two bytes, which were fetched already.
    [[gnu::noinline]] void receive_unfinished(const std::byte* host, uint16_t start) noexcept {
        if (!rules.offloads.csum)
            return counters.drop(Drop::bad_header);
        // All but num_buffers, which means nothing here.
        NetHeader header{};
        auto* const copy = reinterpret_cast<std::byte*>(&header);
        std::memcpy(copy, &start, sizeof start);
        const auto rest = guest::fetch<uint64_t>(host + sizeof start);
        std::memcpy(copy + sizeof start, &rest, sizeof rest);
        deliver(take_unfinished(header, out[delivered], false, rules, counters));
    }

    void deliver(Taken taken) noexcept {
        if (taken != Taken::frame)
            return;
        bytes += out[delivered]->pkt_len;
        ++delivered;
    }
};

/// The chains of a burst after those that are simple. Returns how many it has seen, and in `taken`
/// how many of these are done with.
template <ring::DeviceRing Ring>
[[gnu::noinline]] uint16_t receive_rest(
    Ring& ring, uint16_t wanted, Receiver& receiver, uint16_t& taken
) noexcept {
    std::array<ring::Chain, kMaxBurst> chains;
    const uint16_t peeked = ring.peek_more(std::span(chains).first(wanted));
    if (peeked == 0)
        return 0;
    receiver.allocate(peeked);
    for (uint16_t done = 0; done < peeked; ++done) {
        const ring::Chain& chain = chains[done];
        const bool more = chain.readable_segments == 1 && chain.writable_segments == 0
                              ? receiver.receive_simple(chain.readable()) == 1
                              : receiver.receive(chain);
        if (!more)
            break;
        ++taken;
    }
    return peeked;
}

}  // namespace detail

/// Receives up to `out.size()` frames (at most kMaxBurst) into mbufs of `pool`, which the caller
/// then owns. Returns the number of frames in `out`; what is behind them has no meaning.
template <ring::DeviceRing Ring>
uint16_t from_guest(
    Ring& ring,
    rte_mempool* pool,
    const FromGuestRules& rules,
    std::span<rte_mbuf*> out,
    QueueCounters& counters
) noexcept {
    static_assert(kMaxBurst <= ring::kWindow);
    static constexpr std::array<uint32_t, kMaxBurst> kNothingWritten{};
    std::array<ring::Segment, kMaxBurst> buffers;

    const auto wanted = static_cast<uint16_t>(std::min<size_t>(out.size(), kMaxBurst));
    const auto [simple, more] =
        ring.template peek_simple<memory::Access::read>(std::span(buffers).first(wanted));
    detail::Receiver receiver{pool, rules, out, counters};
    uint16_t peeked = simple;
    uint16_t taken = 0;
    if (simple != 0) {
        receiver.allocate(simple);
        taken = receiver.receive_simple(std::span(buffers).first(simple));
    }
    if (more && taken == simple && simple < wanted)
        peeked = static_cast<uint16_t>(
            peeked +
            detail::receive_rest(ring, static_cast<uint16_t>(wanted - simple), receiver, taken)
        );
    if (peeked == 0)
        return 0;
    const uint16_t delivered = receiver.delivered;
    if (delivered != receiver.ready)
        rte_pktmbuf_free_bulk(out.data() + delivered, receiver.ready - delivered);
    ring.complete(std::span(kNothingWritten).first(taken));
    counters.frames.add(delivered);
    counters.bytes.add(receiver.bytes);
    if (taken < peeked)
        counters.no_mbuf.add(1);
    return delivered;
}

}  // namespace vduse::net
