// SPDX-License-Identifier: BSD-3-Clause

// The lookup table of one address space, and the translation of driver addresses with it.
//
// A Table is immutable: control builds a new one for every change and publishes it through the
// gates of the queues that read it (sched/gate.h), so a burst sees one snapshot from its first
// descriptor to its last. Regions are sorted and do not overlap. A lookup tries the region of the
// last hit and then a binary search, which stays cheap for the hundreds of regions of a driver on
// 2 MiB pages without --single-file-segments.
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
        const Region* base = regions_;
        // No branch depends on the address (doc/performance.md): with buffers in random order, half
        // of such branches would be mispredicted.
        for (uint32_t left = count_; left > 1; left -= left / 2)
            base += base[left / 2].first <= iova ? left / 2 : 0;
        return count_ != 0 && base->contains(iova) ? base : nullptr;
    }

  private:
    Table(const Region* regions, uint32_t count) noexcept : regions_(regions), count_(count) {}

    const Region* regions_;  ///< Directly behind this object.
    uint32_t count_;
};

enum class Fault : uint8_t {
    none,
    unmapped,   ///< No region has this address: it may appear later.
    forbidden,  ///< The region does not allow this access.
};

/// A run of bytes of guest memory that is contiguous for us.
struct Segment {
    std::byte* host = nullptr;
    uint32_t bytes = 0;
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

    /// The host address of [iova, iova + bytes) if all of it is mapped, allowed, and contiguous for
    /// us (rings must be; buffers need not); otherwise nullptr.
    [[nodiscard]] std::byte* contiguous(Iova iova, uint32_t bytes, Access access) noexcept;

  private:
    const Table* table_ = nullptr;
    const Region* last_ = nullptr;
};

}  // namespace vduse::memory
