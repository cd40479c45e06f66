// SPDX-License-Identifier: BSD-3-Clause

#include "memory/table.h"

#include <bit>
#include <memory>
#include <new>
#include <vector>

namespace vduse::memory {
namespace {

/// The most buckets: their memory stays small, and a search among the regions of one is short.
constexpr size_t kMostBuckets = 4096;

/// The size of a bucket, as a power of two, if there are `regions` in a range of `last_offset` + 1.
unsigned shift_for(size_t regions, uint64_t last_offset) {
    const size_t most = std::min(std::bit_ceil(4 * regions), kMostBuckets);
    unsigned shift = 0;
    while (last_offset >> shift >= most)
        ++shift;
    return shift;
}

/// The last of `regions` that begins at or before `iova`, or the first one.
uint32_t region_at(std::span<const Region> regions, Iova iova) {
    const auto after = std::ranges::upper_bound(regions, iova, {}, &Region::first);
    return static_cast<uint32_t>(std::max<ptrdiff_t>(after - regions.begin(), 1) - 1);
}

}  // namespace

struct Table::Parts {
    size_t regions;
    size_t buckets;

    [[nodiscard]] size_t buckets_at() const { return sizeof(Table) + regions * sizeof(Region); }
    [[nodiscard]] size_t bytes() const { return buckets_at() + buckets * sizeof(Bucket); }
};

void Table::Deleter::operator()(Table* table) const noexcept {
    allocator->release(table, Parts{table->count_, table->buckets_.size()}.bytes());
}

Table::Table(std::span<const Region> regions, std::span<Bucket> buckets, unsigned shift) noexcept
    : regions_(regions.data()),
      buckets_(buckets),
      first_(regions.empty() ? 0 : regions.front().first),
      count_(static_cast<uint32_t>(regions.size())),
      shift_(shift) {
    for (size_t i = 0; i < buckets.size(); ++i) {
        const Iova begin = first_ + (uint64_t{i} << shift);
        const Iova end = begin + ((uint64_t{1} << shift) - 1);
        const uint32_t region = region_at(regions, begin);
        // The end of the last bucket may wrap.
        const uint32_t last = end < begin ? count_ - 1 : region_at(regions, end);
        buckets[i] = {region, last - region + 1};
    }
}

Table::Pointer Table::build(std::span<const Region> regions, TableAllocator& allocator, int node) {
    static_assert(sizeof(Table) % alignof(Region) == 0 && alignof(Bucket) <= alignof(Region));
    std::vector<Region> sorted(regions.begin(), regions.end());
    std::ranges::sort(sorted, {}, &Region::first);
    Parts parts{sorted.size(), 0};
    unsigned shift = 0;
    if (!sorted.empty()) {
        const uint64_t last_offset = sorted.back().last - sorted.front().first;
        shift = shift_for(sorted.size(), last_offset);
        parts.buckets = static_cast<size_t>(last_offset >> shift) + 1;
    }
    auto* const memory = static_cast<std::byte*>(allocator.allocate(parts.bytes(), node));
    if (memory == nullptr)
        return {nullptr, Deleter{&allocator}};
    auto* const copy = reinterpret_cast<Region*>(memory + sizeof(Table));
    std::uninitialized_copy(sorted.begin(), sorted.end(), copy);
    auto* const buckets = reinterpret_cast<Bucket*>(memory + parts.buckets_at());
    std::uninitialized_default_construct_n(buckets, parts.buckets);
    return {
        new (memory) Table({copy, sorted.size()}, {buckets, parts.buckets}, shift),
        Deleter{&allocator}};
}

std::byte* Translator::contiguous(Iova iova, uint32_t bytes, Access access) noexcept {
    if (bytes == 0 || iova + (bytes - 1) < iova)
        return nullptr;
    std::byte* start = nullptr;
    for (uint32_t done = 0; done < bytes;) {
        Segment segment;
        if (translate(iova + done, bytes - done, access, segment) != Fault::none)
            return nullptr;
        if (start == nullptr)
            start = segment.host;
        else if (segment.host != start + done)
            return nullptr;
        done += segment.bytes;
    }
    return start;
}

}  // namespace vduse::memory
