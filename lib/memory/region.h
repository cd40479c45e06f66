// SPDX-License-Identifier: BSD-3-Clause

// A region: a range of I/O virtual addresses and its location in our own address space.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vduse::memory {

/// An address as the driver writes it into a ring. It is meaningful only within an address space.
using Iova = uint64_t;

/// What the device may do; the values are VDUSE's (VDUSE_ACCESS_RO, VDUSE_ACCESS_WO).
enum class Access : uint8_t { read = 1, write = 2 };

/// `first` and `last` are inclusive, because the size of a region that covers all of 2^64 would
/// overflow.
struct Region {
    Iova first = 0;
    Iova last = 0;
    std::byte* host = nullptr;  ///< The host address of `first`.
    uint8_t perm = 0;           ///< Access bits.

    [[nodiscard]] bool contains(Iova iova) const noexcept { return first <= iova && iova <= last; }
    [[nodiscard]] bool allows(Access access) const noexcept {
        return (perm & static_cast<uint8_t>(access)) != 0;
    }
};

}  // namespace vduse::memory
