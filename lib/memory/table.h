// SPDX-License-Identifier: BSD-3-Clause

// The lookup table of one address space, and the translation of driver addresses with it.
//
// A Table is immutable: control builds a new one for every change and publishes it through the
// gates of the queues that read it (sched/gate.h), so a burst sees one snapshot from its first
// descriptor to its last. Regions are sorted and do not overlap. A lookup tries the region of the
// last hit. Otherwise, the range of all regions is divided into buckets of equal size, a few times
// as many as there are regions (at most 4096), and each knows the regions in it: mostly one or
// two, even of a driver with hundreds of regions, on 2 MiB pages without --single-file-segments.
// Where many are in one bucket, because others are far away, a binary search finds the right one.
//
// What a hostile driver could try: addresses that wrap, that end one byte after a region, or that
// are in a region with the wrong permission. A segment never extends beyond its region, whatever
// the requested length, and the permission of each segment is checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "memory/region.h"
#include "memory/table_memory.h"

namespace vduse::memory {

class Table {
  public:
    struct Deleter {
        TableAllocator* allocator;
        void operator()(Table* table) const noexcept;
    };
    using Pointer = std::unique_ptr<Table, Deleter>;

    /// Builds a table of `regions`, which it sorts, on NUMA `node`. nullptr if out of memory.
    static Pointer build(std::span<const Region> regions, TableAllocator& allocator, int node);

    [[nodiscard]] std::span<const Region> regions() const noexcept { return {regions_, count_}; }

    /// The region that contains `iova`, or nullptr.
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        const uint64_t at = (iova - first_) >> shift_;
        if (at >= buckets_.size())
            return nullptr;
        const Bucket bucket = buckets_[at];
        const Region* base = regions_ + bucket.region;
        // No branch depends on the address (doc/performance.md): with buffers in random order, half
        // of such branches would be mispredicted.
        for (uint32_t left = bucket.count; left > 1; left -= left / 2)
            base += base[left / 2].first <= iova ? left / 2 : 0;
        return base->contains(iova) ? base : nullptr;
    }

  private:
    struct Parts;

    /// The regions that may contain an address in this bucket, at least one.
    struct Bucket {
        uint32_t region;  ///< the first one
        uint32_t count;
    };

    Table(std::span<const Region> regions, std::span<Bucket> buckets, unsigned shift) noexcept;

    // Both are directly behind this object.
    const Region* regions_;
    std::span<const Bucket> buckets_;
    Iova first_ = 0;
    uint32_t count_;
    unsigned shift_;
};

enum class Fault : uint8_t {
    none,
    unmapped,   ///< No region has this address: it may appear later.
    forbidden,  ///< The region does not allow this access.
};

/// A run of bytes of guest memory that is contiguous for us. Members have no initialisers: a burst
/// of segments is on the stack, and only those that were peeked are read.
struct Segment {
    std::byte* host;
    uint32_t bytes;
};

/// A region that allows the access which the caller has in mind, or nothing. It is small, so that a
/// loop over addresses keeps it in registers.
class Run {
  public:
    Run() = default;
    explicit Run(const Region& region) noexcept
        : first_(region.first), bytes_(region.last - region.first + 1), host_(region.host) {
        // A region of 2^64 bytes: its last one is left to others.
        if (bytes_ == 0)
            --bytes_;
    }

    /// Whether all of [iova, iova + bytes) is in it; false if that is nothing.
    [[nodiscard]] bool holds(Iova iova, uint64_t bytes) const noexcept {
        const uint64_t offset = iova - first_;
        return offset < bytes_ && bytes - 1 < bytes_ - offset;
    }
    [[nodiscard]] std::byte* host(Iova iova) const noexcept { return host_ + (iova - first_); }

  private:
    Iova first_ = 0;
    uint64_t bytes_ = 0;
    std::byte* host_ = nullptr;
};

/// Translates with the memory of the last hit. One thread at a time.
class Translator {
  public:
    void set(const Table* table) noexcept {
        table_ = table;
        last_ = nullptr;
    }
    [[nodiscard]] const Table* table() const noexcept { return table_; }

    /// The first segment of [iova, iova + bytes), bytes > 0: shorter than `bytes` where a region
    /// ends.
    [[nodiscard]] Fault translate(
        Iova iova, uint32_t bytes, Access access, Segment& segment
    ) noexcept {
        if (last_ == nullptr || !last_->contains(iova)) {
            last_ = table_ == nullptr ? nullptr : table_->find(iova);
            if (last_ == nullptr)
                return Fault::unmapped;
        }
        if (!last_->allows(access))
            return Fault::forbidden;
        segment.host = last_->host + (iova - last_->first);
        // Compares what is left behind the first byte, for a region may end at 2^64 - 1.
        const uint64_t left = last_->last - iova;
        segment.bytes = left >= bytes - 1 ? bytes : static_cast<uint32_t>(left) + 1;
        return Fault::none;
    }

    /// The region of the last hit; the one that contains `iova`. Empty if there is none, or if it
    /// does not allow `access`.
    [[nodiscard]] Run run(Access access) const noexcept {
        return last_ != nullptr && last_->allows(access) ? Run(*last_) : Run();
    }
    [[nodiscard]] Run run_at(Iova iova, Access access) noexcept {
        last_ = table_ == nullptr ? nullptr : table_->find(iova);
        return run(access);
    }

    /// The host address of [iova, iova + bytes) if all of it is mapped, allowed, and contiguous for
    /// us (rings must be; buffers need not); otherwise nullptr.
    [[nodiscard]] std::byte* contiguous(Iova iova, uint32_t bytes, Access access) noexcept;

  private:
    const Table* table_ = nullptr;
    const Region* last_ = nullptr;
};

}  // namespace vduse::memory
