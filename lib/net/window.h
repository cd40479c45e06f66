// SPDX-License-Identifier: BSD-3-Clause

// Slow path of to_guest.h, which lists what a hostile driver could try: the chains of a burst, and
// any frame into any of them.
//
// A burst of long frames may need more chains than a window has. When the window is full, its used
// chains, which are whole frames, are returned to the driver to make room for more.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "net/chain_writer.h"
#include "net/counters.h"
#include "net/filter.h"
#include "net/header.h"
#include "net/offload.h"
#include "net/rules.h"
#include "ring/chain.h"
#include "vduse/drop.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::net::detail {

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

/// Whether the frame's checksum was verified, so that the driver need not do it.
inline bool is_valid(const rte_mbuf& frame, const QueueRules& rules) noexcept {
    return (frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
           rules.offloads.csum;
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
    uint16_t simple = 0;    ///< the first chains, which are single buffers: in `buffers`
    uint16_t seen = 0;      ///< chains that the ring has shown
    uint16_t used = 0;      ///< the first ones, which are finished, good or not
    bool unfolded = false;  ///< unused simple chains are in `chains`, too
    uint64_t placed = 0;    ///< frames placed on the slow path
    uint64_t bytes = 0;     ///< bytes of these frames
    std::array<ring::Segment, kMaxBurst> buffers;
    std::array<ring::Chain, ring::kWindow> chains;
    std::array<uint32_t, ring::kWindow> lengths;

    explicit Window(Ring& its) noexcept : ring(its) {}

    /// Peeks as many chains as there are frames. More are peeked only when a frame needs them.
    [[gnu::always_inline]] void open(size_t frames) noexcept {
        const auto [count, more] =
            ring.template peek_simple<memory::Access::write>(std::span(buffers).first(frames));
        simple = count;
        seen = count;
        if (more && count < frames)
            peek_rest(frames);
    }
    [[gnu::noinline]] void peek_rest(size_t frames) noexcept {
        seen = static_cast<uint16_t>(
            seen + ring.peek_more(std::span(chains).first(frames).subspan(seen))
        );
    }
    /// The slow path reads `chains` only.
    void unfold() noexcept {
        if (std::exchange(unfolded, true))
            return;
        for (uint16_t i = used; i < simple; ++i)
            chains[i] = ring::Chain::of(buffers[i], memory::Access::write);
    }
    /// Peeks more chains. Returns false if there are none for this burst.
    bool peek_more() noexcept {
        // A full window moves on. Its used chains are whole frames.
        if (seen == chains.size()) {
            complete();
            std::copy(chains.begin() + used, chains.begin() + seen, chains.begin());
            seen = static_cast<uint16_t>(seen - used);
            used = 0;
            simple = 0;
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
        unfold();
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

    /// Slow path: any frame. Out of line, because inlined it would take registers from the fast
    /// path.
    [[gnu::noinline]] Put put(
        const rte_mbuf* frame, const QueueRules& rules, QueueCounters& counters
    ) noexcept {
        if (may_be_unfinished(*frame))
            return put_unfinished(frame, rules, counters);
        if (const auto drop = check_to_guest(frame, frame->pkt_len, rules)) {
            counters.drop(*drop);
            return Put::dropped;
        }
        return put_finished(frame, rules, counters);
    }

    /// Slow path: a frame that requests no offload.
    Put put_finished(
        const rte_mbuf* frame, const QueueRules& rules, QueueCounters& counters
    ) noexcept {
        Output output{.frame = frame, .bytes = frame->pkt_len};
        if (is_valid(*frame, rules))
            output.header.flags = kHeaderDataValid;
        return put(output, rules, counters);
    }

    /// Slow path: a frame that may request an offload.
    Put put_unfinished(
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
        unfold();
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

}  // namespace vduse::net::detail
