// SPDX-License-Identifier: BSD-3-Clause

// The address spaces of a device: maps them, places their tables near the readers, and keeps old
// ones until no data thread uses them.
//
// A table that is replaced is freed at once, unless a data thread may still be inside a gate that
// control has closed. Then it lingers until all have left (`collect`). So memory that an answer
// gives back to the kernel is unmapped before that answer, unless a data thread is stuck, and then
// the answer is FAILED.
//
// What a hostile driver could try: mappings without end (memory/space.h has a limit), and to
// truncate the memory that it shares (memory/lost_memory.h).
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
    /// nullptr if nothing is mapped.
    [[nodiscard]] const memory::Table* table(uint32_t asid) const { return spaces_[asid].table(); }
    [[nodiscard]] std::span<const memory::Region> regions(uint32_t asid) const {
        return spaces_[asid].regions();
    }

    /// Maps the kernel's current IOTLB of a space. If memory for its table runs out, the space is
    /// empty.
    void remap(uint32_t asid);
    void drop(uint32_t asid);
    void drop_all();
    /// Unmaps all spaces. No data thread may be inside any gate.
    void close();
    /// Unmaps old spaces once no data thread can use them. Returns whether some linger.
    bool collect();

    /// The thread that serves `pair` runs on `numa_node`. Returns whether the table of its space is
    /// on another node and should be made again.
    bool set_node(uint16_t pair, int numa_node);

    /// The spaces whose memory was truncated while it was mapped. Cheap if there is none.
    std::vector<uint32_t> lost();
    /// Faults some memory in. false: nothing is left to do.
    bool prefault_step();

  private:
    [[nodiscard]] int node_of(uint32_t asid) const;
    [[nodiscard]] bool gates_quiet() const;
    void retire(memory::Space space);

    const Parts& parts_;
    const State& state_;
    std::array<int, kMaxPairs> pair_nodes_;  ///< of the threads that serve the pairs; -1: any
    std::vector<memory::Space> spaces_;
    std::vector<int> table_nodes_;          ///< the nodes that their tables were placed on
    std::vector<memory::Space> lingering_;  ///< a data thread may still be inside
    uint64_t lost_seen_ = 0;                ///< the last value of memory::lost_mappings()
};

}  // namespace vduse::device
