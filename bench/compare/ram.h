// SPDX-License-Identifier: BSD-3-Clause

// Guest memory for bench/compare: one file, split into regions, which each side maps for itself.
//
//   file   | region 0 (rings) | region 1 | ... | region n-1 |    2 MiB each, sparse
//   IOVA     kFirst             + 4 MiB ...                       a hole after each region
//
// A driver on hugepages has one region for each page of 2 MiB. The holes keep regions apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "memory/region.h"

namespace vduse::bench {

/// Exits: a benchmark that fails has no result.
[[noreturn]] void give_up(const char* what);
inline void require(bool condition, const char* what) {
    if (!condition)
        give_up(what);
}

class Ram {
  public:
    static constexpr uint64_t kRegionBytes = uint64_t{2} << 20;
    static constexpr memory::Iova kFirst = 0x1'0000'0000;

    explicit Ram(size_t regions);

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] size_t bytes() const noexcept { return mapping_.bytes(); }
    /// The driver's own mapping.
    [[nodiscard]] std::byte* data() const noexcept { return mapping_.data(); }
    /// Sorted; `host` is in the driver's mapping.
    [[nodiscard]] const std::vector<memory::Region>& regions() const noexcept { return regions_; }

  private:
    UniqueFd fd_;
    Mapping mapping_;
    std::vector<memory::Region> regions_;
};

/// An address of the guest: the driver's and the device's.
struct AddressPair {
    std::byte* host = nullptr;
    memory::Iova iova = 0;

    [[nodiscard]] AddressPair behind(uint64_t bytes) const noexcept {
        return {host + bytes, iova + bytes};
    }
};

}  // namespace vduse::bench
