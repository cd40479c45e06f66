// SPDX-License-Identifier: BSD-3-Clause

// Where lookup tables live: hugepages of DPDK's heap on the reader's NUMA node, or plain pages.
//
// A data lcore reads its table for every descriptor, so a table in hugepages costs it no TLB misses
// of its own, and one on its own node no trip to another. Control thread only.
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

/// Hugepages when the EAL has them; otherwise plain pages bound by libnuma, which is said once.
TableAllocator& default_table_allocator();

/// The node of memory that may be on any: -1, or the only one that there is.
int any_node();

/// The NUMA node of lcore `lcore`'s CPU, or -1.
int node_of_lcore(unsigned lcore);

}  // namespace vduse::memory
