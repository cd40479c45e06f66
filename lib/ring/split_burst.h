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

/// Prefetches the header and the beginning of the frame.
template <memory::Access access>
[[gnu::always_inline]] inline void prefetch(const std::byte* host) noexcept {
    for (const std::byte* line : {host, host + 64})
        if constexpr (access == memory::Access::write)
            guest::prefetch_to_store(line);
        else
            __builtin_prefetch(line);
}

/// Fast path: a single buffer inside one region. Returns false otherwise.
[[gnu::always_inline]] inline bool SplitRing::walk_simple(
    const Descriptor& descriptor, Chain& chain
) noexcept {
    if ((descriptor.flags & (kDescNext | kDescIndirect)) != 0 || descriptor.len == 0 ||
        segments_in_use_ == segments_.size())
        return false;
    const bool writable = (descriptor.flags & kDescWrite) != 0;
    const memory::Access access = writable ? memory::Access::write : memory::Access::read;
    Segment& segment = segments_[segments_in_use_];
    // A buffer that wraps at 2^64 is longer than its region.
    if (translator_.translate(descriptor.addr, descriptor.len, access, segment) !=
            memory::Fault::none ||
        segment.bytes != descriptor.len)
        return false;
    ++segments_in_use_;
    chain = Chain::of(segment, access);
    if (writable)
        prefetch<memory::Access::write>(segment.host);
    else
        prefetch<memory::Access::read>(segment.host);
    return true;
}

[[gnu::always_inline]] inline bool SplitRing::idle() const noexcept {
    return guest::load_hint(avail_ + kIdxOffset) == next_avail_ && !needs_control();
}

/// Begins a call. Returns the number of chains that it may peek.
[[gnu::always_inline]] inline uint16_t SplitRing::begin() noexcept {
    segments_in_use_ = 0;
    descriptors_ = 0;
    completed_ = 0;
    peeked_ = 0;
    fetched_ = 0;
    has_held_ = false;
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
    return pending;
}

[[gnu::always_inline]] inline uint16_t SplitRing::peek(std::span<Chain> chains) noexcept {
    return begin() != 0 ? show(chains) : uint16_t{0};
}

template <memory::Access access>
[[gnu::always_inline]] inline Simple SplitRing::peek_simple(std::span<Segment> buffers) noexcept {
    const uint16_t pending = begin();
    const auto wanted = static_cast<uint16_t>(std::min<size_t>(pending, buffers.size()));
    if (wanted == 0)
        return {0, false};
    fetch_heads(wanted);
    // Locals: the compiler must assume that a store to `buffers` changes members.
    const uint16_t* const heads = heads_.data();
    const std::byte* const table = desc_;
    const size_t mask = mask_;
    // Heads are mostly in order, so every fourth descriptor is in another cache line. All of them
    // are requested at once, because a loop over descriptors waits for one after the other.
    constexpr size_t kPerLine = 64 / sizeof(Descriptor);
    for (size_t i = kPerLine; i < wanted; i += kPerLine)
        __builtin_prefetch(table + sizeof(Descriptor) * (heads[i] & mask));
    memory::Run run = translator_.run(access);
    size_t count = 0;
    for (; count < wanted; ++count) {
        const size_t head = heads[count];
        if (head > mask) [[unlikely]] {
            peeked_ = static_cast<uint16_t>(count);
            refuse_head(count);
            return {peeked_, false};
        }
        // Masked as well as checked, so that a mispredicted check reads nothing outside the table.
        const auto descriptor =
            guest::fetch<Descriptor>(table + sizeof(Descriptor) * (head & mask));
        constexpr uint16_t kUsual = access == memory::Access::write ? kDescWrite : uint16_t{0};
        const bool one = (descriptor.flags & (kDescNext | kDescIndirect | kDescWrite)) == kUsual;
        if (!one || !run.holds(descriptor.addr, descriptor.len)) [[unlikely]] {
            if (one)
                run = translator_.run_at(descriptor.addr, access);
            if (!one || !run.holds(descriptor.addr, descriptor.len)) {
                held_ = descriptor;
                has_held_ = true;
                break;
            }
        }
        std::byte* const host = run.host(descriptor.addr);
        prefetch<access>(host);
        buffers[count] = {host, descriptor.len};
    }
    peeked_ = static_cast<uint16_t>(count);
    descriptors_ = peeked_;
    return {peeked_, peeked_ < pending};
}

/// Chains before a bad head are served; the peek that starts at it faults.
[[gnu::always_inline]] inline void SplitRing::refuse_head(size_t at) noexcept {
    if (at == 0)
        fault_ = RingFault::bad_head;
    pending_ = peeked_;
}

[[gnu::always_inline]] inline uint16_t SplitRing::peek_more(std::span<Chain> chains) noexcept {
    if (completed_ != 0) {
        peeked_ = static_cast<uint16_t>(peeked_ - completed_);
        pending_ = static_cast<uint16_t>(pending_ - completed_);
        fetched_ = static_cast<uint16_t>(fetched_ - completed_);
        std::copy_n(heads_.begin() + completed_, fetched_, heads_.begin());
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

/// Fetches the first heads of the window, up to `count`.
[[gnu::always_inline]] inline void SplitRing::fetch_heads(uint16_t count) noexcept {
    if (fetched_ >= count)
        return;
    const std::byte* const ring = avail_ + kRingOffset;
    const std::span<uint16_t> heads = std::span(heads_).subspan(fetched_, count - fetched_);
    const auto at = static_cast<uint16_t>((next_avail_ + fetched_) & mask_);
    if (heads.size() == 1) {
        heads.front() = guest::fetch<uint16_t>(ring + 2 * size_t{at});
    } else {
        // At most two runs, as the ring may wrap between them.
        const size_t run = std::min<size_t>(heads.size(), size_ - at);
        guest::fetch_bytes(heads.data(), ring + 2 * size_t{at}, 2 * run);
        if (run < heads.size())
            guest::fetch_bytes(heads.data() + run, ring, 2 * (heads.size() - run));
    }
    fetched_ = count;
}

/// Fetches the first descriptors of the next chains, so that their cache misses overlap.
[[gnu::always_inline]] inline uint16_t SplitRing::fetch_first(
    uint16_t count, std::span<Descriptor> first
) noexcept {
    fetch_heads(static_cast<uint16_t>(peeked_ + count));
    const auto heads = std::span(heads_).subspan(peeked_, count);
    uint16_t i = 0;
    if (std::exchange(has_held_, false))
        first[i++] = held_;
    for (; i < count; ++i) {
        if (heads[i] >= size_) {
            refuse_head(size_t{peeked_} + i);
            return i;
        }
        // Masked, as in peek_simple.
        guest::fetch_into(first[i], desc_ + sizeof(Descriptor) * size_t(heads[i] & mask_));
    }
    return count;
}

[[gnu::always_inline]] inline void SplitRing::complete(std::span<const uint32_t> lengths) noexcept {
    // Locals: the compiler must assume that a store to guest memory changes members.
    std::byte* const elements = used_ + kRingOffset;
    const uint16_t mask = mask_;
    const uint16_t next = next_used_;
    const uint16_t* const heads = heads_.data() + completed_;
    const auto count = static_cast<uint16_t>(lengths.size());
    for (uint16_t i = 0; i < count; ++i) {
        const auto at = static_cast<uint16_t>((next + i) & mask);
        guest::store(elements + sizeof(UsedElement) * at, UsedElement{heads[i], lengths[i]});
    }
    completed_ = static_cast<uint16_t>(completed_ + count);
    next_avail_ = static_cast<uint16_t>(next_avail_ + count);
    next_used_ = static_cast<uint16_t>(next + count);
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
