// SPDX-License-Identifier: BSD-3-Clause

// to_guest: copies frames from mbufs into the buffers that the driver offers.
//
// A peek at the ring yields a window of checked chains. With MRG_RXBUF, a frame uses as many chains
// as it needs (num_buffers in the first header is their number); without, it uses one. Frames that
// the driver's filter refuses, or that cannot fit, are counted and freed. Frames for which there
// are no buffers now are left to the caller.
//
// A frame may request offloads (vduse/offload.h). Those that the driver accepts are passed on in
// the header. The others are done here: a Segmenter provides the headers of each segment, and the
// payload is copied from the frame directly into the buffers. The frame is not changed, because
// others may hold it.
//
// A burst of long frames may need more chains than a window has. When the window is full, its used
// chains, which are whole frames, are returned to the driver to make room for more.
//
// What a hostile driver could try: buffers of one byte for a frame of 9 KB, chains that are
// readable only, chains too small for a header. A frame uses at most a window of chains, and a
// burst as many as the ring lets it read (SplitRing::kDescriptorBudget). Unfit chains are returned
// with length 0. Guest memory is written, never read.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "net/chain_writer.h"
#include "net/counters.h"
#include "net/filter.h"
#include "net/header.h"
#include "net/offload.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::net {

/// The negotiated features of a data queue, and the filter of its device.
struct QueueRules {
    uint32_t longest;  ///< the longest legal frame
    bool mergeable;    ///< VIRTIO_NET_F_MRG_RXBUF was negotiated
    const Filter* filter;
    /// To the guest: offloads that were negotiated and are not switched off. From the guest: the
    /// negotiated offloads of that direction.
    Offloads offloads = {};
};

namespace detail {

/// The reason to drop `frame`, whose longest segment has `bytes`, or nullopt.
inline std::optional<Drop> check_to_guest(
    const rte_mbuf* frame, uint32_t bytes, const QueueRules& rules
) noexcept {
    if (frame->pkt_len < kEthernetHeader)
        return Drop::too_short;
    if (bytes > rules.longest)
        return Drop::too_long;
    if (rules.filter->promiscuous)
        return std::nullopt;
    std::array<uint8_t, Filter::kHead> scratch;
    const uint32_t head_bytes = std::min(frame->pkt_len, Filter::kHead);
    const auto* head =
        static_cast<const uint8_t*>(rte_pktmbuf_read(frame, 0, head_bytes, scratch.data()));
    return rules.filter->accepts({head, head_bytes}) ? std::nullopt : std::optional(Drop::filtered);
}

/// A chain that cannot begin a frame: 5.1.6.4 requires the whole header in the first one.
inline bool is_unfit(const ring::Chain& chain, bool mergeable) noexcept {
    return chain.writable_bytes < kHeaderBytes + (mergeable ? 0 : kEthernetHeader);
}

/// Frees frames that were placed or dropped. Fast path: if all are single-segment mbufs of one pool
/// that nobody else holds, they are returned to the pool in bulk.
inline void free_frames(std::span<rte_mbuf* const> frames) noexcept {
    auto** const mbufs = const_cast<rte_mbuf**>(frames.data());
    const auto count = static_cast<unsigned>(frames.size());
    const auto is_simple = [pool = frames.front()->pool](const rte_mbuf* mbuf) {
        return mbuf->pool == pool && mbuf->nb_segs == 1 && rte_mbuf_refcnt_read(mbuf) == 1 &&
               RTE_MBUF_DIRECT(mbuf);
    };
    if (std::all_of(frames.begin(), frames.end(), is_simple))
        rte_mempool_put_bulk(frames.front()->pool, reinterpret_cast<void**>(mbufs), count);
    else
        rte_pktmbuf_free_bulk(mbufs, count);
}

/// Whether the frame's checksum was verified, so that the driver need not do it.
inline bool is_valid(const rte_mbuf& frame, const QueueRules& rules) noexcept {
    return (frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
           rules.offloads.csum;
}

/// Whether `write_simple_frame` can write `frame` into `chain`. Only good chains have segments.
inline bool is_simple(const rte_mbuf& frame, const ring::Chain& chain) noexcept {
    return frame.nb_segs == 1 && chain.writable_segments != 0 &&
           kHeaderBytes + uint32_t{frame.data_len} <= chain.writable()[0].bytes;
}

/// How many of the first chains are needed for `need` bytes. `fits` is false if there are too few.
struct Gathered {
    uint16_t count;
    bool fits;
};
inline Gathered gather(
    std::span<const ring::Chain> chains, uint64_t need, bool mergeable
) noexcept {
    uint64_t room = chains[0].writable_bytes;
    uint16_t count = 1;
    while (mergeable && room < need && count < chains.size() && chains[count].writable_bytes != 0)
        room += chains[count++].writable_bytes;
    return {count, room >= need};
}

/// The result for a frame. `waits`: there are no buffers for it now.
enum class Put : uint8_t { placed, dropped, waits };

/// The chains that a burst has peeked, and their state.
template <ring::DeviceRing Ring>
struct Window {
    Ring& ring;
    uint16_t seen = 0;    ///< chains that the ring has shown
    uint16_t used = 0;    ///< the first ones, which are finished, good or not
    uint64_t placed = 0;  ///< frames placed on the slow path
    uint64_t bytes = 0;   ///< bytes of these frames
    std::array<ring::Chain, ring::kWindow> chains;
    std::array<uint32_t, ring::kWindow> lengths;

    explicit Window(Ring& its) noexcept : ring(its) {}

    /// Peeks as many chains as there are frames. More are peeked only when a frame needs them.
    [[gnu::always_inline]] void open(size_t frames) noexcept {
        seen = ring.peek(std::span(chains).first(std::min(frames, chains.size())));
    }
    /// Peeks more chains. Returns false if there are none for this burst.
    bool peek_more() noexcept {
        // A full window moves on. Its used chains are whole frames.
        if (seen == chains.size()) {
            complete();
            std::copy(chains.begin() + used, chains.begin() + seen, chains.begin());
            seen = static_cast<uint16_t>(seen - used);
            used = 0;
        }
        const uint16_t more = ring.peek_more(std::span(chains).subspan(seen));
        seen = static_cast<uint16_t>(seen + more);
        return more != 0;
    }
    [[gnu::always_inline]] void complete() noexcept {
        if (used != 0)
            ring.complete(std::span<const uint32_t>(lengths).first(used));
    }

    [[nodiscard]] std::span<const ring::Chain> unused() const noexcept {
        return std::span(chains).subspan(used, static_cast<size_t>(seen - used));
    }
    void use(uint16_t count) noexcept { used = static_cast<uint16_t>(used + count); }

    /// Returns unfit chains to the driver, so that they do not block the ring. Returns false if
    /// there are no other chains.
    bool skip_unfit(bool mergeable, QueueCounters& counters) noexcept {
        for (;; ++used) {
            if (used == seen && !peek_more())
                return false;
            const ring::Chain& chain = chains[used];
            if (!is_unfit(chain, mergeable))
                return true;
            counters.drop(chain.good ? Drop::too_short : Drop::malformed);
            lengths[used] = 0;
        }
    }

    /// Slow path: places any frame.
    Put put(const Output& output, const QueueRules& rules, QueueCounters& counters) noexcept {
        const bool mergeable = rules.mergeable;
        if (!skip_unfit(mergeable, counters))
            return Put::waits;
        const uint64_t need = kHeaderBytes + output.size();
        Gathered gathered = gather(unused(), need, mergeable);
        while (!gathered.fits && mergeable && gathered.count == unused().size() && peek_more())
            gathered = gather(unused(), need, mergeable);
        const auto [count, fits] = gathered;
        if (fits) {
            write_frame(output, unused().first(count), std::span(lengths).subspan(used, count));
            use(count);
            ++placed;
            bytes += output.size();
            return Put::placed;
        }
        if (mergeable) {
            // More buffers may come, unless these are a whole window or all that the ring can hold,
            // or a chain after them has no writable bytes.
            if (count == unused().size() && count < std::min<size_t>(chains.size(), ring.size()) &&
                more_may_come())
                return Put::waits;
            std::fill_n(lengths.begin() + used, count, 0U);
            use(count);
        }
        counters.drop(Drop::no_room);
        return Put::dropped;
    }

    /// Slow path: a frame that requests no offload. Out of line, because inlined it would take
    /// registers from the fast path.
    [[gnu::noinline]] Put put_finished(
        const rte_mbuf* frame, const QueueRules& rules, QueueCounters& counters
    ) noexcept {
        Output output{.frame = frame, .bytes = frame->pkt_len};
        if (is_valid(*frame, rules))
            output.header.flags = kHeaderDataValid;
        return put(output, rules, counters);
    }

    /// Slow path: a frame that may request an offload.
    [[gnu::noinline]] Put put_unfinished(
        const rte_mbuf* frame, const QueueRules& rules, QueueCounters& counters
    ) noexcept {
        Unfinished what;
        auto drop = read_unfinished(*frame, what);
        const uint32_t longest =
            what.segment != 0 ? uint32_t{what.headers()} + what.segment : frame->pkt_len;
        if (!drop)
            drop = check_to_guest(frame, longest, rules);
        if (drop) {
            counters.drop(*drop);
            return Put::dropped;
        }
        if (!what.any())
            return put_finished(frame, rules, counters);
        const bool cut = what.segment != 0 && !what.large_for(rules.offloads);
        const bool complete = what.csum && !rules.offloads.csum;
        const NetHeader header =
            what.csum && !complete ? encode(what, what.segment != 0 && !cut) : NetHeader{};
        Put result = Put::placed;
        if (!cut && !complete && !what.ip_csum && what.pseudo)
            result =
                put({.header = header, .frame = frame, .bytes = frame->pkt_len}, rules, counters);
        else
            result = put_segments(
                Segmenter(*frame, what, cut, complete), header, frame, rules, counters
            );
        if (result == Put::placed) {
            counters.csum.add(what.csum && !complete ? 1 : 0);
            if (what.segment != 0 && !cut) {
                counters.large.add(1);
                counters.large_bytes.add(frame->pkt_len);
            }
            counters.csum_done.add(complete ? 1 : 0);
            counters.cut.add(cut ? 1 : 0);
        }
        return result;
    }

    /// Whether the driver has descriptors left for one more chain like the longest in the window.
    /// Waiting for a chain that cannot come would block the queue forever. If the chains have more
    /// descriptors than the ring, they are indirect.
    [[nodiscard]] bool more_may_come() const noexcept {
        uint32_t taken = 0;
        uint32_t longest = 1;
        for (const ring::Chain& chain : unused()) {
            const uint32_t descriptors =
                std::max(chain.readable_segments + chain.writable_segments, 1U);
            taken += descriptors;
            longest = std::max(longest, descriptors);
        }
        return taken > ring.size() || taken + longest <= ring.size();
    }

    /// Places all segments, or none if there are clearly too few buffers. If the buffers run out
    /// midway, the remaining segments are dropped.
    Put put_segments(
        Segmenter segmenter,
        const NetHeader& header,
        const rte_mbuf* frame,
        const QueueRules& rules,
        QueueCounters& counters
    ) noexcept {
        const auto wanted =
            std::min<size_t>({segmenter.count(), chains.size(), size_t{ring.size()}});
        while (unused().size() < wanted && peek_more())
            ;
        if (unused().size() < wanted && more_may_come())
            return Put::waits;
        while (segmenter.left() != 0) {
            const auto segment = segmenter.next();
            const Put result =
                put({header, segment.head, frame, segment.payload, segment.bytes}, rules, counters);
            if (result == Put::waits) {
                if (segmenter.left() + 1 == segmenter.count())
                    return Put::waits;
                counters.drop(Drop::no_room);
            }
        }
        return Put::placed;
    }
};

}  // namespace detail

/// Puts frames into the ring, in order, and frees those that were placed or dropped: the first of
/// `frames`, as many as it returns (at most kMaxBurst). The caller keeps the rest.
template <ring::DeviceRing Ring>
uint16_t to_guest(
    Ring& ring, const QueueRules& rules, std::span<rte_mbuf* const> frames, QueueCounters& counters
) noexcept {
    const auto burst = static_cast<uint16_t>(std::min<size_t>(frames.size(), kMaxBurst));
    for (const rte_mbuf* frame : frames.first(burst))
        __builtin_prefetch(frame);
    detail::Window<Ring> window(ring);
    window.open(burst);
    uint16_t done = 0;  // frames that were placed or dropped
    uint64_t placed = 0;
    uint64_t bytes = 0;
    for (; done < burst; ++done) {
        rte_mbuf* frame = frames[done];
        if (may_be_unfinished(*frame)) {
            if (window.put_unfinished(frame, rules, counters) == detail::Put::waits)
                break;
            continue;
        }
        if (const auto drop = detail::check_to_guest(frame, frame->pkt_len, rules)) {
            counters.drop(*drop);
            continue;
        }
        if (window.used < window.seen && detail::is_simple(*frame, window.chains[window.used])) {
            window.lengths[window.used] = detail::write_simple_frame(
                frame, window.chains[window.used].writable()[0], detail::is_valid(*frame, rules)
            );
            window.use(1);
            ++placed;
            bytes += frame->pkt_len;
        } else if (window.put_finished(frame, rules, counters) == detail::Put::waits) {
            break;
        }
    }
    if (done < burst)
        counters.no_buffer.add(1);
    window.complete();
    if (done != 0)
        detail::free_frames(frames.first(done));
    counters.frames.add(placed + window.placed);
    counters.bytes.add(bytes + window.bytes);
    return done;
}

}  // namespace vduse::net
