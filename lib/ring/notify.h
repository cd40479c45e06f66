// SPDX-License-Identifier: BSD-3-Clause

// When to notify the driver: the event index and the fence that it needs.
#pragma once

#include <atomic>
#include <concepts>

namespace vduse::ring {

/// Whether `event` lies in [before, after) of free-running indices (virtio 1.3, 2.7.10). If so, the
/// side that set `event` must be notified now. The width is a parameter so that a test can iterate
/// over all 8-bit values.
template <std::unsigned_integral Index>
constexpr bool event_passed(Index event, Index after, Index before) {
    return static_cast<Index>(after - event - 1) < static_cast<Index>(after - before);
}

/// Orders our stores to the ring before our loads of the driver's notification settings. The fence
/// has a function of its own because ThreadSanitizer does not understand free-standing fences.
inline void full_fence() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace vduse::ring
