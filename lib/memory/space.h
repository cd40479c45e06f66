// SPDX-License-Identifier: BSD-3-Clause

// One address space: the regions of the kernel's IOTLB, mapped in advance.
//
// `map_space` walks the IOTLB and returns a Space: a lookup table and the mappings that keep its
// host addresses valid. A Space is immutable. To replace one, control closes the gates of the
// queues that read it, gives them the new table, opens the gates, and only then destroys the old
// Space, which unmaps what the new one does not share.
//
// Guest memory (a regular file: memfd, tmpfs, hugetlbfs) is mapped whole, and once per file for all
// spaces of a device. Regions point into it, so an update that divides the same memory differently
// costs no mmap, no munmap and no page fault. Live migration does such updates during its downtime.
// The kernel's own bounce and coherent memory (no regular file) is mapped region by region and
// never kept for the next Space: the kernel replaces its pages without notice, and access to a page
// that it has not allocated raises SIGBUS.
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

/// Further regions of a space are left out, so that a driver cannot exhaust our mappings.
inline constexpr size_t kMaxRegions = 32768;

/// A mapping of guest memory, shared by the spaces whose regions are in it.
struct FileMapping {
    dev_t device = 0;
    ino_t inode = 0;
    bool guest_file = false;  ///< A whole regular file. Otherwise one region of kernel memory.
    bool writable = false;
    Mapping mapping;
    std::optional<WatchedMapping> watched;  ///< Destroyed before the mapping.
    size_t faulted_in = 0;                  ///< Prefaulting has covered this many bytes.
};

class Space {
  public:
    Space() : table_(nullptr, Table::Deleter{nullptr}) {}

    /// nullptr for an empty space.
    [[nodiscard]] const Table* table() const noexcept { return table_.get(); }
    [[nodiscard]] std::span<const Region> regions() const noexcept {
        return table_ ? table_->regions() : std::span<const Region>();
    }
    /// The number of regions that could not be mapped. They are treated as unmapped.
    [[nodiscard]] size_t unusable() const noexcept { return unusable_; }
    /// The memory of a mapping is lost (lost_memory.h): it was replaced by zeros.
    [[nodiscard]] bool lost() const noexcept;

    /// Faults in the next few MiB of guest memory that a region covers. Returns false if none are
    /// left. Called when control is idle, so that data lcores do not take the page faults.
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

/// Maps all current regions of space `asid`. `mapped_before`: the spaces of the device as they are,
/// with the one that is replaced. Files that one of them has mapped are not mapped again. The table
/// is placed on NUMA `node`. Fails only if there is no memory for the table.
Result<Space> map_space(
    uapi::DeviceNode& device,
    uint32_t asid,
    std::span<const Space> mapped_before,
    TableAllocator& allocator,
    int node
);

}  // namespace vduse::memory
