// SPDX-License-Identifier: BSD-3-Clause

// A descriptor chain after all checks: what net/ sees of a ring.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/table.h"
#include "vduse/limits.h"

namespace vduse::ring {

/// Translated with the permission that its use needs.
using memory::Segment;

/// Segments are in the driver's order, the readable ones first. A chain that is not `good` was
/// malformed: it has no segments, and is returned to the driver with length 0. No initialisers, for
/// a burst's worth of them is on the stack and only what is peeked is ever read.
struct Chain {
    const Segment* segments;
    uint32_t readable_segments;
    uint32_t writable_segments;
    uint32_t readable_bytes;
    uint32_t writable_bytes;
    bool good;

    [[nodiscard]] std::span<const Segment> readable() const noexcept {
        return {segments, readable_segments};
    }
    [[nodiscard]] std::span<const Segment> writable() const noexcept {
        return {segments + readable_segments, writable_segments};
    }
};

/// The window of a ring: chains that it shows and that were not completed yet, at most. Not the
/// burst of frames (kMaxBurst): a long frame in small mergeable buffers takes many chains, and no
/// more than these.
inline constexpr uint16_t kWindow = 64;

/// What net/ asks of a virtqueue format, from the device's side. One thread at a time.
///
/// `peek` begins a call and shows the next chains without taking them: all heads and descriptors
/// are read and checked before any buffer is touched. `complete` returns chains to the driver, in
/// order, each with the number of bytes written. `peek_more` goes on where the last of the two
/// ended, so a call may peek, complete and peek more until it has what it needs. 0: no more can be
/// shown in this call, for want of chains, of room in the window, or because the call has cost
/// enough (the ring bounds the descriptors that it reads from one `peek` to the next). What is not
/// completed is peeked again next time, so there is never a chain in flight between two calls.
/// `size`: chains that it can hold at most.
template <class R>
concept DeviceRing = requires(R ring, std::span<Chain> chains, std::span<const uint32_t> lengths) {
    { ring.peek(chains) }
    noexcept->std::same_as<uint16_t>;
    { ring.peek_more(chains) }
    noexcept->std::same_as<uint16_t>;
    { ring.complete(lengths) }
    noexcept->std::same_as<void>;
    { ring.should_interrupt() }
    noexcept->std::same_as<bool>;
    { ring.size() }
    noexcept->std::same_as<uint32_t>;
};

}  // namespace vduse::ring
