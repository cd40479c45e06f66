// SPDX-License-Identifier: BSD-3-Clause

// Candidates for the lookup table of an address space (lib/memory/table.h has the one in use), and
// DPDK's. Each is built once from sorted regions that do not overlap, and finds the region of an
// address or nullptr.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <list>
#include <span>
#include <vector>

#include "memory/region.h"

namespace vduse::bench {

using memory::Iova;
using memory::Region;

/// Like rte_vhost's IOTLB: a list, searched from the lowest address.
class LinearList {
  public:
    explicit LinearList(std::span<const Region> regions) : list_(regions.begin(), regions.end()) {}
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        for (const Region& region : list_) {
            if (iova < region.first)
                return nullptr;
            if (iova <= region.last)
                return &region;
        }
        return nullptr;
    }

  private:
    std::list<Region> list_;
};

/// A sorted array, halved without a branch that depends on the address. The table in use does this
/// within a bucket.
class Branchless {
  public:
    explicit Branchless(std::span<const Region> regions)
        : regions_(regions.begin(), regions.end()) {}
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        const Region* base = regions_.data();
        for (size_t left = regions_.size(); left > 1; left -= left / 2)
            base += base[left / 2].first <= iova ? left / 2 : 0;
        return !regions_.empty() && base->contains(iova) ? base : nullptr;
    }

  private:
    std::vector<Region> regions_;
};

/// The first addresses as an implicit binary tree, level by level, so that the upper levels share
/// cache lines. The descent has no branch to mispredict.
class Eytzinger {
  public:
    explicit Eytzinger(std::span<const Region> regions)
        : regions_(regions.begin(), regions.end()),
          firsts_(regions.size() + 1),
          ranks_(regions.size() + 1) {
        size_t next = 0;
        place(1, next);
    }
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        size_t at = 1;
        while (at < firsts_.size())
            at = 2 * at + (firsts_[at] <= iova ? 1 : 0);
        // The last turn to the right was at the region that begins at or before iova.
        at >>= std::countr_zero(at) + 1;
        if (at == 0)
            return nullptr;
        const Region& region = regions_[ranks_[at]];
        return iova <= region.last ? &region : nullptr;
    }

  private:
    void place(size_t at, size_t& next) {
        if (at >= firsts_.size())
            return;
        place(2 * at, next);
        firsts_[at] = regions_[next].first;
        ranks_[at] = static_cast<uint32_t>(next++);
        place(2 * at + 1, next);
    }

    std::vector<Region> regions_;
    std::vector<Iova> firsts_;
    std::vector<uint32_t> ranks_;
};

/// The sorted array, with a binary search that branches.
class Halving {
  public:
    explicit Halving(std::span<const Region> regions) : regions_(regions.begin(), regions.end()) {}
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        const auto after = std::upper_bound(
            regions_.begin(),
            regions_.end(),
            iova,
            [](Iova key, const Region& region) { return key < region.first; }
        );
        if (after == regions_.begin())
            return nullptr;
        const Region& candidate = *std::prev(after);
        return candidate.contains(iova) ? &candidate : nullptr;
    }

  private:
    std::vector<Region> regions_;
};

/// A hash table of 2 MiB buckets. A bucket has the first region that reaches into it; from there
/// the search is linear. This only works if the regions cover few buckets. A region may be all of
/// 2^64, so a real implementation would need a second table.
class Buckets {
  public:
    static constexpr unsigned kShift = 21;

    explicit Buckets(std::span<const Region> regions) : regions_(regions.begin(), regions.end()) {
        uint64_t buckets = 0;
        for (const Region& region : regions_)
            buckets += (region.last >> kShift) - (region.first >> kShift) + 1;
        slots_.resize(std::bit_ceil(2 * buckets));
        shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots_.size()));
        for (uint32_t i = 0; i < regions_.size(); ++i)
            for (uint64_t b = regions_[i].first >> kShift; b <= regions_[i].last >> kShift; ++b)
                insert(b, i);
    }
    [[nodiscard]] const Region* find(Iova iova) const noexcept {
        const uint64_t bucket = iova >> kShift;
        for (size_t at = slot(bucket);; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at].region == kNone)
                return nullptr;
            if (slots_[at].bucket == bucket)
                return walk(slots_[at].region, iova);
        }
    }

  private:
    static constexpr uint32_t kNone = UINT32_MAX;
    struct Slot {
        uint64_t bucket = 0;
        uint32_t region = kNone;
    };
    [[nodiscard]] size_t slot(uint64_t bucket) const noexcept {
        return (bucket * 0x9e37'79b9'7f4a'7c15U) >> shift_;
    }
    void insert(uint64_t bucket, uint32_t region) {
        size_t at = slot(bucket);
        while (slots_[at].region != kNone && slots_[at].bucket != bucket)
            at = (at + 1) & (slots_.size() - 1);
        if (slots_[at].region == kNone)
            slots_[at] = {bucket, region};
    }
    [[nodiscard]] const Region* walk(size_t at, Iova iova) const noexcept {
        for (; at < regions_.size() && regions_[at].first <= iova; ++at)
            if (iova <= regions_[at].last)
                return &regions_[at];
        return nullptr;
    }

    std::vector<Region> regions_;
    std::vector<Slot> slots_;
    unsigned shift_ = 0;
};

}  // namespace vduse::bench
