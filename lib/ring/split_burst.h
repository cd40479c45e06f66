// SPDX-License-Identifier: BSD-3-Clause

// The fast path of SplitRing. A file that instantiates a burst function with the ring includes this
// header, so that the compiler can inline it. Code for less common chains is in split.cc.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "base/guest.h"
#include "ring/notify.h"
#include "ring/split.h"

namespace vduse::ring {

/// Fast path: a single buffer inside one region. Returns false otherwise.
[[gnu::always_inline]] inline bool SplitRing::walk_simple(
    const Descriptor& descriptor, Chain& chain
) noexcept {
    if ((descriptor.flags & (kDescNext | kDescIndirect)) != 0 || descriptor.len == 0 ||
        segments_in_use_ == segments_.size())
        return false;
    const uint32_t writable = (descriptor.flags & kDescWrite) != 0 ? 1 : 0;
    Segment& segment = segments_[segments_in_use_];
    // A buffer that wraps at 2^64 is longer than its region.
    if (translator_.translate(
            descriptor.addr,
            descriptor.len,
            writable != 0 ? memory::Access::write : memory::Access::read,
            segment
        ) != memory::Fault::none ||
        segment.bytes != descriptor.len)
        return false;
    ++segments_in_use_;
    chain = {
        &segment,
        1 - writable,
        writable,
        writable != 0 ? 0 : descriptor.len,
        writable != 0 ? descriptor.len : 0,
        true};
    // Header and the beginning of the frame.
    if (writable != 0) {
        guest::prefetch_to_store(segment.host);
        guest::prefetch_to_store(segment.host + 64);
    } else {
        __builtin_prefetch(segment.host);
        __builtin_prefetch(segment.host + 64);
    }
    return true;
}

[[gnu::always_inline]] inline uint16_t SplitRing::peek(std::span<Chain> chains) noexcept {
    segments_in_use_ = 0;
    descriptors_ = 0;
    completed_ = 0;
    peeked_ = 0;
    pending_ = 0;
    miss_.reset();
    if (fault_ != RingFault::none)
        return 0;
    const auto pending =
        static_cast<uint16_t>(guest::load_acquire(avail_ + kIdxOffset) - next_avail_);
    if (pending > size_) {
        fault_ = RingFault::avail_jump;
        return 0;
    }
    pending_ = pending;
    return show(chains);
}

[[gnu::always_inline]] inline uint16_t SplitRing::peek_more(std::span<Chain> chains) noexcept {
    if (completed_ != 0) {
        peeked_ = static_cast<uint16_t>(peeked_ - completed_);
        pending_ = static_cast<uint16_t>(pending_ - completed_);
        std::copy_n(heads_.begin() + completed_, peeked_, heads_.begin());
        completed_ = 0;
    }
    const size_t budget = kDescriptorBudget - std::min(descriptors_, kDescriptorBudget);
    return show(chains.first(std::min(chains.size(), budget)));
}

[[gnu::always_inline]] inline uint16_t SplitRing::show(std::span<Chain> chains) noexcept {
    const auto left = static_cast<size_t>(std::min(pending_, kWindow) - peeked_);
    const auto wanted = static_cast<uint16_t>(std::min(left, chains.size()));
    if (wanted == 0)
        return 0;
    std::array<Descriptor, kWindow> first;
    const uint16_t fetched = fetch_first(wanted, first);
    descriptors_ += fetched;
    uint16_t count = 0;
    while (count < fetched &&
           (walk_simple(first[count], chains[count]) || walk(first[count], chains[count])))
        ++count;
    peeked_ = static_cast<uint16_t>(peeked_ + count);
    // Do not peek past the chain that stopped us: the next `peek` begins with it.
    if (count < wanted)
        pending_ = peeked_;
    return count;
}

[[gnu::always_inline]] inline uint16_t SplitRing::fetch_first(
    uint16_t count, std::span<Descriptor> first
) noexcept {
    // Heads: at most two runs, as the ring may wrap between them.
    const std::span<uint16_t> heads = std::span(heads_).subspan(peeked_, count);
    const auto at = static_cast<uint16_t>((next_avail_ + peeked_) & mask_);
    const auto run = static_cast<uint16_t>(std::min<uint32_t>(count, size_ - at));
    guest::fetch_bytes(heads.data(), avail_ + kRingOffset + 2 * size_t{at}, 2 * size_t{run});
    if (run < count)
        guest::fetch_bytes(
            heads.data() + run, avail_ + kRingOffset, 2 * static_cast<size_t>(count - run)
        );

    // Fetch the first descriptors of all chains, so that their cache misses overlap.
    for (uint16_t i = 0; i < count; ++i) {
        if (heads[i] >= size_) {
            // Chains before a bad head are served; the peek that starts at it faults.
            if (peeked_ + i == 0)
                fault_ = RingFault::bad_head;
            return i;
        }
        // Masked as well as checked, so that a mispredicted check reads nothing outside the table.
        guest::fetch_into(first[i], desc_ + sizeof(Descriptor) * size_t(heads[i] & mask_));
    }
    return count;
}

[[gnu::always_inline]] inline void SplitRing::complete(std::span<const uint32_t> lengths) noexcept {
    std::byte* const elements = used_ + kRingOffset;
    for (size_t i = 0; i < lengths.size(); ++i) {
        const auto at = static_cast<uint16_t>((next_used_ + i) & mask_);
        const uint16_t head = heads_[completed_ + i];
        guest::store(elements + sizeof(UsedElement) * at, UsedElement{head, lengths[i]});
    }
    const auto count = static_cast<uint16_t>(lengths.size());
    completed_ = static_cast<uint16_t>(completed_ + count);
    next_avail_ = static_cast<uint16_t>(next_avail_ + count);
    next_used_ = static_cast<uint16_t>(next_used_ + count);
    guest::store_release(used_ + kIdxOffset, next_used_);
}

[[gnu::always_inline]] inline bool SplitRing::should_interrupt() noexcept {
    if (next_used_ == signalled_used_)
        return false;
    // 2.7.7.2, 2.7.10: the used index must be visible before we read the driver's notification
    // settings, or both sides could go to sleep.
    full_fence();
    const uint16_t before = std::exchange(signalled_used_, next_used_);
    if (std::exchange(interrupt_owed_, false))
        return true;
    if (options_.event_idx) {
        const uint16_t used_event =
            guest::load_hint(avail_ + kRingOffset + 2 * static_cast<size_t>(size_));
        return event_passed<uint16_t>(used_event, next_used_, before);
    }
    return (guest::load_hint(avail_ + kFlagsOffset) & kAvailNoInterrupt) == 0;
}

}  // namespace vduse::ring
