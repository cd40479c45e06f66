// SPDX-License-Identifier: BSD-3-Clause

// When to notify the other side: the event index and the fence that it needs.
#pragma once

#include <atomic>
#include <concepts>

namespace vduse::ring {

/// Whether `event` lies in [before, after) of free-running indices (virtio 1.3, 2.7.10): the side
/// that asked to be told when `event` is passed must be told now. The width is a parameter so that
/// a test can go through all 8-bit values.
template <std::unsigned_integral Index>
constexpr bool event_passed(Index event, Index after, Index before) {
    return static_cast<Index>(after - event - 1) < static_cast<Index>(after - before);
}

/// Orders our stores to the ring before our loads of what the driver wishes. ThreadSanitizer does
/// not understand free-standing fences, hence a name for the one that there is.
inline void full_fence() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace vduse::ring
