// SPDX-License-Identifier: BSD-3-Clause

#include "ring/split.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "base/guest.h"
#include "ring/notify.h"
#include "vduse/limits.h"

namespace vduse::ring {
namespace {

/// Room for a window of single buffers, some of which cross regions, beside the longest legal
/// chain.
constexpr uint32_t kSpareSegments = 4 * kWindow;

bool disjoint(const std::byte* a, uint32_t a_bytes, const std::byte* b, uint32_t b_bytes) {
    return a + a_bytes <= b || b + b_bytes <= a;
}

}  // namespace

const char* describe(LoadError error) {
    switch (error) {
        case LoadError::none:
            return "good";
        case LoadError::bad_size:
            return "its size is not a power of two up to 32768";
        case LoadError::misaligned:
            return "one of its addresses is not aligned";
        case LoadError::unmapped:
            return "it is not mapped contiguously with the required permissions";
        case LoadError::overlapping:
            return "its parts overlap";
    }
    return "unknown";
}

LoadError SplitRing::load(const memory::Table* table, const Layout& layout, Options options) {
    using memory::Access;
    if (layout.size == 0 || layout.size > kMaxQueueSize || !std::has_single_bit(layout.size))
        return LoadError::bad_size;
    if (layout.desc % 16 != 0 || layout.avail % 2 != 0 || layout.used % 4 != 0)
        return LoadError::misaligned;
    const uint32_t desc_bytes = descriptor_bytes(layout.size);
    const uint32_t avail_length = avail_bytes(layout.size, options.event_idx);
    const uint32_t used_length = used_bytes(layout.size, options.event_idx);
    memory::Translator translator;
    translator.set(table);
    const std::byte* desc = translator.contiguous(layout.desc, desc_bytes, Access::read);
    const std::byte* avail = translator.contiguous(layout.avail, avail_length, Access::read);
    std::byte* used = translator.contiguous(layout.used, used_length, Access::write);
    if (desc == nullptr || avail == nullptr || used == nullptr)
        return LoadError::unmapped;
    if (!disjoint(desc, desc_bytes, avail, avail_length) ||
        !disjoint(desc, desc_bytes, used, used_length) ||
        !disjoint(avail, avail_length, used, used_length))
        return LoadError::overlapping;
    translator_ = translator;
    desc_ = desc;
    avail_ = avail;
    used_ = used;
    size_ = layout.size;
    mask_ = static_cast<uint16_t>(layout.size - 1);
    options_ = options;
    fault_ = RingFault::none;
    miss_.reset();
    denied_.reset();
    segments_.resize(size_ + kSpareSegments);
    segments_in_use_ = 0;
    return LoadError::none;
}

bool SplitRing::restart(const Position& start) {
    resume();
    next_avail_ = start.avail;
    return position().inherited_in_flight() <= size_;
}

void SplitRing::resume(const Position& started) {
    next_used_ = guest::load_acquire(used_ + kIdxOffset);
    next_avail_ = static_cast<uint16_t>(next_used_ + started.inherited_in_flight());
    signalled_used_ = next_used_;
    interrupt_owed_ = true;
}

/// Slow path: any other chain. Returns false if the chain must wait.
bool SplitRing::walk(const Descriptor& descriptor, Chain& chain) noexcept {
    if (descriptors_ > kDescriptorBudget)
        return false;
    chain = Chain{};
    chain.segments = segments_.data() + segments_in_use_;
    const uint32_t segments_before = segments_in_use_;
    const Walk result = walk_direct(descriptor, chain);
    if (result == Walk::good && chain.readable_segments + chain.writable_segments != 0) {
        chain.good = true;
        __builtin_prefetch(chain.segments->host);
        return true;
    }
    segments_in_use_ = segments_before;
    // No segments left after the other chains of this burst: the next `peek` begins with this chain
    // and has all segments for it.
    if (result == Walk::waits || (result == Walk::full && segments_before != 0))
        return false;
    chain = Chain{};
    return true;
}

SplitRing::Walk SplitRing::walk_direct(Descriptor descriptor, Chain& chain) noexcept {
    for (uint32_t steps = 1;; ++steps) {
        if ((descriptor.flags & kDescIndirect) != 0) {
            // 2.7.5.3.1: needs the feature, and excludes NEXT.
            if (!options_.indirect || (descriptor.flags & kDescNext) != 0)
                return Walk::malformed;
            return walk_indirect(descriptor, steps - 1, chain);
        }
        if (const Walk result = add(descriptor, chain); result != Walk::good)
            return result;
        if ((descriptor.flags & kDescNext) == 0)
            return Walk::good;
        if (steps == size_ || descriptor.next >= size_)
            return Walk::malformed;
        ++descriptors_;
        descriptor =
            guest::fetch<Descriptor>(desc_ + sizeof(Descriptor) * size_t(descriptor.next & mask_));
    }
}

SplitRing::Walk SplitRing::walk_indirect(
    const Descriptor& table, uint32_t steps_before, Chain& chain
) noexcept {
    const uint32_t entries = table.len / sizeof(Descriptor);
    // 2.7.5.3.1: a chain is never longer than the queue size, wherever its descriptors are. So a
    // table is not either.
    if (table.len % sizeof(Descriptor) != 0 || entries == 0 || entries > size_ ||
        table.addr + (table.len - 1) < table.addr)
        return Walk::malformed;
    Descriptor descriptor{};
    uint32_t index = 0;
    for (uint32_t steps = steps_before + 1; steps <= size_; ++steps) {
        ++descriptors_;
        const memory::Iova at = table.addr + sizeof(Descriptor) * uint64_t{index};
        if (const Walk result = fetch_indirect(at, descriptor); result != Walk::good)
            return result;
        if ((descriptor.flags & kDescIndirect) != 0)
            return Walk::malformed;
        if (const Walk result = add(descriptor, chain); result != Walk::good)
            return result;
        if ((descriptor.flags & kDescNext) == 0)
            return Walk::good;
        if (descriptor.next >= entries)
            return Walk::malformed;
        index = descriptor.next;
    }
    return Walk::malformed;
}

SplitRing::Walk SplitRing::fetch_indirect(memory::Iova iova, Descriptor& descriptor) noexcept {
    auto* local = reinterpret_cast<std::byte*>(&descriptor);
    for (uint32_t done = 0; done < sizeof descriptor;) {
        Segment segment;
        const auto left = static_cast<uint32_t>(sizeof descriptor) - done;
        const memory::Fault fault =
            translator_.translate(iova + done, left, memory::Access::read, segment);
        if (fault != memory::Fault::none)
            return missed(fault, iova + done);
        guest::fetch_bytes(local + done, segment.host, segment.bytes);
        done += segment.bytes;
    }
    return Walk::good;
}

SplitRing::Walk SplitRing::add(const Descriptor& descriptor, Chain& chain) noexcept {
    const bool writable = (descriptor.flags & kDescWrite) != 0;
    if (!writable && chain.writable_segments != 0)
        return Walk::malformed;  // 2.7.4.2: readable before writable
    if (descriptor.len == 0)
        return Walk::good;
    if (descriptor.addr + (descriptor.len - 1) < descriptor.addr)
        return Walk::malformed;
    uint32_t& total = writable ? chain.writable_bytes : chain.readable_bytes;
    if (chain.readable_bytes + uint64_t{chain.writable_bytes} + descriptor.len > UINT32_MAX)
        return Walk::malformed;
    uint32_t& segments = writable ? chain.writable_segments : chain.readable_segments;
    const memory::Access access = writable ? memory::Access::write : memory::Access::read;
    for (uint32_t done = 0; done < descriptor.len;) {
        if (segments_in_use_ == segments_.size())
            return Walk::full;
        Segment& segment = segments_[segments_in_use_];
        const memory::Fault fault =
            translator_.translate(descriptor.addr + done, descriptor.len - done, access, segment);
        if (fault != memory::Fault::none)
            return missed(fault, descriptor.addr + done);
        ++segments_in_use_;
        ++segments;
        done += segment.bytes;
    }
    total += descriptor.len;
    return Walk::good;
}

SplitRing::Walk SplitRing::missed(memory::Fault fault, memory::Iova iova) noexcept {
    if (fault == memory::Fault::forbidden || denied_ == iova)
        return Walk::malformed;
    miss_ = iova;
    return Walk::waits;
}

uint32_t SplitRing::offered() const noexcept {
    const auto offered = static_cast<uint16_t>(
        guest::load_hint(avail_ + kIdxOffset) - guest::load_hint(used_ + kIdxOffset)
    );
    return std::min<uint32_t>(offered, size_);
}

uint32_t SplitRing::waiting() const noexcept {
    if (fault_ != RingFault::none)
        return 0;
    const auto published =
        static_cast<uint16_t>(guest::load_acquire(avail_ + kIdxOffset) - next_avail_);
    return std::min<uint32_t>(published, size_);
}

void SplitRing::refuse_kicks() noexcept {
    if (options_.event_idx)
        // An event index that was passed already: the next kick is 2^16 buffers away.
        guest::store_hint(
            used_ + kRingOffset + sizeof(UsedElement) * size_,
            static_cast<uint16_t>(next_avail_ - 1)
        );
    else
        guest::store_hint(used_ + kFlagsOffset, kUsedNoNotify);
}

bool SplitRing::request_kick() noexcept {
    if (options_.event_idx)
        guest::store_hint(used_ + kRingOffset + sizeof(UsedElement) * size_, next_avail_);
    else
        guest::store_hint(used_ + kFlagsOffset, 0);
    full_fence();
    return guest::load_acquire(avail_ + kIdxOffset) != next_avail_;
}

}  // namespace vduse::ring
