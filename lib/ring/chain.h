// A descriptor chain after all checks: what net/ sees of a ring.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/table.h"
#include "vduse/limits.h"

namespace vduse::ring {

/// A run of guest memory that was translated with the permission that its use needs.
using Segment = memory::Piece;

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

/// What net/ asks of a virtqueue format, from the device's side. One thread at a time.
///
/// `peek` shows the next chains without taking them: all heads and descriptors of the burst are
/// read and checked before any buffer is touched. `peek_more` goes on where the last peek ended, up
/// to kMaxBurst in all, unless chains were completed since; 0 says that no more of them can be
/// shown now. `complete` returns chains of the last peek to the driver, in order from where it left
/// off, each with the number of bytes written. What is not completed is peeked again next time, so
/// there is never a chain in flight between two bursts. `size`: chains that it can hold at most.
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
