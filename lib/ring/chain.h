// SPDX-License-Identifier: BSD-3-Clause

// A descriptor chain after all checks. This is how net/ sees a ring.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/table.h"
#include "vduse/limits.h"

namespace vduse::ring {

/// Translated, and checked for the access that its direction needs.
using memory::Segment;

/// Segments are in the driver's order, readable ones first. A chain that is not `good` is
/// malformed: it has no segments and is returned to the driver with length 0. Members have no
/// initialisers: a burst of chains is on the stack, and only those that were peeked are read.
struct Chain {
    const Segment* segments;
    uint32_t readable_segments;
    uint32_t writable_segments;
    uint32_t readable_bytes;
    uint32_t writable_bytes;
    bool good;

    /// The chain of one buffer.
    [[nodiscard]] static Chain of(const Segment& buffer, memory::Access access) noexcept {
        const bool writable = access == memory::Access::write;
        return {
            &buffer,
            writable ? 0U : 1U,
            writable ? 1U : 0U,
            writable ? 0U : buffer.bytes,
            writable ? buffer.bytes : 0U,
            true};
    }
    [[nodiscard]] std::span<const Segment> readable() const noexcept {
        return {segments, readable_segments};
    }
    [[nodiscard]] std::span<const Segment> writable() const noexcept {
        return {segments + readable_segments, writable_segments};
    }
};

/// The window of a ring: the maximum number of chains that are peeked and not yet completed. It is
/// larger than a burst of frames (kMaxBurst) because a long frame in small mergeable buffers takes
/// many chains. A frame never takes more chains than a window has.
inline constexpr uint16_t kWindow = 64;

/// What `peek_simple` has found.
struct Simple {
    uint16_t count;  ///< buffers
    bool more;       ///< `peek_more` may show chains after them
};

/// The interface of a virtqueue format, device side. One thread at a time.
///
/// - `peek` begins a call. It shows the next chains without taking them: all heads and descriptors
///   are read and checked before any buffer is accessed.
/// - `peek_simple` begins a call as well, and is much faster. It shows the next chains as long as
///   they are simple: one buffer, not empty, for the given access, inside one region. `peek_more`
///   shows the chains after them, simple or not. There is room for at most a window of `buffers`.
/// - `complete` returns chains to the driver, in order, each with the number of bytes written.
/// - `peek_more` continues after the last call that peeked, so a call may peek, complete and
///   peek more until it has what it needs. It returns 0 if this call can show no more chains: the
///   avail ring is empty, the window is full, or the call has read enough descriptors (the ring
///   bounds the number that it reads in a call).
/// - `size`: the maximum number of chains in the ring.
///
/// Chains that are not completed are peeked again by the next call, so no chain is in flight
/// between two calls.
template <class R>
concept DeviceRing = requires(
    R ring, std::span<Chain> chains, std::span<Segment> buffers, std::span<const uint32_t> lengths
) {
    { ring.peek(chains) }
    noexcept->std::same_as<uint16_t>;
    { ring.template peek_simple<memory::Access::read>(buffers) }
    noexcept->std::same_as<Simple>;
    { ring.template peek_simple<memory::Access::write>(buffers) }
    noexcept->std::same_as<Simple>;
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
