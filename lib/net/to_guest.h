// SPDX-License-Identifier: BSD-3-Clause

// to_guest: copies frames from mbufs into the buffers that the driver offers.
//
// A frame in one mbuf, for which there is a single buffer with room, is copied by the loop of
// `to_guest` itself, which holds nothing that is rare, so that its state stays in registers
// (simple_to_guest.h). window.h does the rest.
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
// What a hostile driver could try: buffers of one byte for a frame of 9 KB, chains that are
// readable only, chains too small for a header. A frame uses at most a window of chains, and a
// burst as many as the ring lets it read (SplitRing::kDescriptorBudget). Unfit chains are returned
// with length 0. Guest memory is written, never read.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/guest.h"
#include "net/chain_writer.h"
#include "net/counters.h"
#include "net/header.h"
#include "net/rules.h"
#include "net/simple_to_guest.h"
#include "net/window.h"
#include "ring/chain.h"
#include "vduse/limits.h"

namespace vduse::net {

namespace detail {

/// Frees frames that were placed or dropped. `singly`: not all are single-segment mbufs of one pool
/// that nobody else holds, which are returned to the pool in bulk.
inline void free_frames(std::span<rte_mbuf* const> frames, bool singly) noexcept {
    auto** const mbufs = const_cast<rte_mbuf**>(frames.data());
    const auto count = static_cast<unsigned>(frames.size());
    if (singly)
        rte_pktmbuf_free_bulk(mbufs, count);
    else
        rte_mempool_put_bulk(frames.front()->pool, reinterpret_cast<void**>(mbufs), count);
}

}  // namespace detail

/// Puts frames into the ring, in order, and frees those that were placed or dropped: the first of
/// `frames`, as many as it returns (at most kMaxBurst). The caller keeps the rest.
template <ring::DeviceRing Ring>
uint16_t to_guest(
    Ring& ring, const QueueRules& rules, std::span<rte_mbuf* const> frames, QueueCounters& counters
) noexcept {
    const auto burst = static_cast<uint16_t>(std::min<size_t>(frames.size(), kMaxBurst));
    if (burst == 0)
        return 0;
    for (const rte_mbuf* frame : frames.first(burst))
        __builtin_prefetch(frame);
    detail::Window<Ring> window(ring);
    window.open(burst);
    const detail::SimpleToGuest simple(rules, *frames.front());
    // Locals, so that they stay in registers: a call is given the window.
    size_t done = 0;  // frames that were placed or dropped
    size_t slow = 0;  // those of them that took the slow path
    size_t used = 0;
    size_t usable = window.simple;
    uint64_t bytes = 0;
    uint64_t csum = 0;
    uint64_t free_singly = 0;
    for (; done < burst; ++done) {
        const rte_mbuf& frame = *frames[done];
        if (used < usable && simple.fits(frame, window.buffers[used])) [[likely]] {
            const uint64_t flags = detail::SimpleToGuest::flags_of(frame);
            WireHeader header = wire({0, kGsoNone, 0, 0, 0, 0, 1});
            if (flags != 0) [[unlikely]] {
                header = simple.header(frame, flags);
                csum += header.first & kHeaderNeedsCsum;
            }
            if (header.last != 0) [[likely]] {
                const uint32_t frame_bytes = frame.data_len;
                bytes += frame_bytes;
                free_singly |= simple.free_singly(frame);
                window.lengths[used] = kHeaderBytes + frame_bytes;
                std::byte* const host = window.buffers[used++].host;
                detail::store_header(host, header);
                guest::store_bytes(
                    host + kHeaderBytes, rte_pktmbuf_mtod(&frame, const void*), frame_bytes
                );
                continue;
            }
        }
        window.used = static_cast<uint16_t>(used);
        const detail::Put result = window.put(&frame, rules, counters);
        used = window.used;
        usable = window.simple;
        if (result == detail::Put::waits)
            break;
        ++slow;
        free_singly |= simple.free_singly(frame) | (frame.nb_segs != 1 ? 1U : 0U);
    }
    window.used = static_cast<uint16_t>(used);
    if (done < burst)
        counters.no_buffer.add(1);
    window.complete();
    if (done != 0)
        detail::free_frames(frames.first(done), free_singly != 0);
    if (csum != 0)
        counters.csum.add(csum);
    counters.frames.add(done - slow + window.placed);
    counters.bytes.add(bytes + window.bytes);
    return static_cast<uint16_t>(done);
}

}  // namespace vduse::net
