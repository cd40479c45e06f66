// SPDX-License-Identifier: BSD-3-Clause

// from_guest: receives frames that the driver sends into mbufs.
//
// One burst sees checked chains: first those that are a single buffer, then any. Each is one
// virtio-net header and one frame, which is copied into an mbuf. Every chain is returned with
// length 0; bad ones are counted by reason. If there are no mbufs, the chains stay in the ring.
//
// A single buffer whose frame fits into an mbuf takes a path of its own (Receiver::receive_simple).
// Its loop holds nothing that is rare, so that its state stays in registers.
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
#include <span>

#include "base/guest.h"
#include "net/counters.h"
#include "net/header.h"
#include "net/rules.h"
#include "net/simple_from_guest.h"
#include "net/take_chain.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/limits.h"

namespace vduse::net {

namespace detail {

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
                if (!receive(ring::Chain::of(buffers[taken], memory::Access::read)))
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
