// SPDX-License-Identifier: BSD-3-Clause

// The address spaces of a device: mapped, looked up anew, put near their readers, kept until nobody
// is inside, and lost.
//
// A table that is replaced is let go of at once where no data thread can be inside a gate that
// control has closed. Otherwise it lingers until all have left (`collect`). So what the kernel is
// given back by an answer is unmapped before that answer, unless a data thread is stuck, and then
// the answer is FAILED.
//
// What a hostile driver could try: mappings without end (memory/space.h has a limit), and to cut
// the memory off that it shared (memory/lost_memory.h).
//
// Threads: control. The queues that read a space are stopped by the caller.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "device/parts.h"
#include "device/state.h"
#include "memory/space.h"
#include "vduse/limits.h"

namespace vduse::device {

class Spaces {
  public:
    /// Both must outlive this. `state` says which group is in which space.
    Spaces(const Parts& parts, const State& state);

    [[nodiscard]] uint32_t count() const noexcept { return static_cast<uint32_t>(spaces_.size()); }
    /// nullptr: nothing is mapped.
    [[nodiscard]] const memory::Table* table(uint32_t asid) const { return spaces_[asid].table(); }
    [[nodiscard]] std::span<const memory::Region> regions(uint32_t asid) const {
        return spaces_[asid].regions();
    }

    /// Maps what the kernel has now. Without memory for a table the space is empty.
    void remap(uint32_t asid);
    void drop(uint32_t asid);
    void drop_all();
    /// Unmaps everything. No data thread is inside any gate.
    void close();
    /// Unmaps what nobody can be inside any more. Returns whether something lingers.
    bool collect();

    /// The thread that serves `pair` runs there. Returns whether the table of its space is
    /// elsewhere and should be made again.
    bool set_node(uint16_t pair, int numa_node);

    /// The spaces whose memory was cut off while it was mapped. Cheap when there is none.
    std::vector<uint32_t> lost();
    /// Faults some memory in; false when there is nothing left to do.
    bool prefault_step();

  private:
    [[nodiscard]] int node_of(uint32_t asid) const;
    [[nodiscard]] bool gates_quiet() const;
    void retire(memory::Space space);

    const Parts& parts_;
    const State& state_;
    std::array<int, kMaxPairs> pair_nodes_;  ///< of the threads that serve the pairs; -1: any
    std::vector<memory::Space> spaces_;
    std::vector<int> table_nodes_;          ///< where their tables were put
    std::vector<memory::Space> lingering_;  ///< a data thread may still be inside
    uint64_t lost_seen_ = 0;                ///< of memory::lost_mappings()
};

}  // namespace vduse::device
