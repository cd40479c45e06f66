// SPDX-License-Identifier: BSD-3-Clause

// One address space: the regions that the kernel's IOTLB holds, mapped ahead of need.
//
// `map_space` walks the IOTLB and returns a Space: a lookup table and what keeps its host addresses
// valid. A Space is immutable. Whoever replaces one closes the gates of the queues that read it,
// gives them the new table, opens the gates, and only then lets the old Space go, which unmaps what
// the new one does not share.
//
// Guest memory (a regular file: memfd, tmpfs, hugetlbfs) is mapped whole, and once per file for all
// spaces of a device; regions point into it, so that an update which slices the same memory anew costs no mmap, no munmap and
// no page fault. Live migration does that inside its downtime. The kernel's own bounce and coherent
// memory (no regular file) is mapped region by region and never kept for the next Space: the kernel
// replaces its pages without telling us, and touching one that it has not allocated raises SIGBUS.
//
// Control thread only.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "memory/lost_memory.h"
#include "memory/table.h"
#include "uapi/kernel.h"
#include "vduse/result.h"

namespace vduse::memory {

/// More regions than this in one space are left out, so that a driver cannot use up our mappings.
inline constexpr size_t kMaxRegions = 32768;

/// A mapping of guest memory; the spaces whose regions lie in it share it.
struct FileMapping {
    dev_t device = 0;
    ino_t inode = 0;
    bool guest_file = false;  ///< A whole regular file. Otherwise one region of the kernel's own.
    bool writable = false;
    Mapping mapping;
    std::optional<WatchedMapping> watched;  ///< Ends before the mapping does.
    size_t faulted_in = 0;                  ///< Prefaulting has passed this many bytes.
};

class Space {
  public:
    Space() : table_(nullptr, Table::Deleter{nullptr}) {}

    /// nullptr for a space of nothing.
    [[nodiscard]] const Table* table() const noexcept { return table_.get(); }
    [[nodiscard]] std::span<const Region> regions() const noexcept {
        return table_ ? table_->regions() : std::span<const Region>();
    }
    /// Regions of the kernel that could not be mapped: as if they were not there.
    [[nodiscard]] size_t unusable() const noexcept { return unusable_; }
    /// The memory behind a mapping is gone (lost_memory.h): zeros are in its place.
    [[nodiscard]] bool lost() const noexcept;

    /// Faults in the next few MiB of guest memory that a region covers; false: nothing is left.
    /// Called when control is idle, so that the page faults are not a data lcore's.
    bool prefault_step();

  private:
    friend Result<Space> map_space(
        uapi::DeviceNode& device,
        uint32_t asid,
        std::span<const Space> mapped_before,
        TableAllocator& allocator,
        int node
    );
    std::vector<std::shared_ptr<FileMapping>> files_;
    Table::Pointer table_;
    size_t unusable_ = 0;
    bool prefaulted_ = false;  ///< Nothing is left for prefault_step.
};

/// Everything that space `asid` maps now. `mapped_before`: the spaces of the device as they are, with
/// the one that is replaced. Files that one of them has mapped are not mapped again.
/// The table is placed on NUMA `node`. Fails only for want of memory for the table.
Result<Space> map_space(
    uapi::DeviceNode& device,
    uint32_t asid,
    std::span<const Space> mapped_before,
    TableAllocator& allocator,
    int node
);

}  // namespace vduse::memory
