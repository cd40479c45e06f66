// SPDX-License-Identifier: BSD-3-Clause

// Allocates lookup tables: in hugepages of DPDK's heap on the reader's NUMA node, or plain pages.
//
// A data lcore reads its table for every descriptor. A table in hugepages costs no TLB misses of
// its own, and one on the lcore's node no remote access. Control thread only.
#pragma once

#include <cstddef>

namespace vduse::memory {

class TableAllocator {
  public:
    virtual ~TableAllocator() = default;
    /// `bytes` of memory, aligned to a cache line, on NUMA `node` (-1: any); nullptr: none left.
    virtual void* allocate(size_t bytes, int node) = 0;
    virtual void release(void* memory, size_t bytes) = 0;
};

/// Hugepages if the EAL has them. Otherwise plain pages, bound by libnuma if there
/// is NUMA; that is logged once.
TableAllocator& default_table_allocator();

/// The node of memory that may be on any node: -1, or 0 if it is the only one.
int any_node();

/// The NUMA node of lcore `lcore`'s CPU, or -1.
int node_of_lcore(unsigned lcore);

}  // namespace vduse::memory
