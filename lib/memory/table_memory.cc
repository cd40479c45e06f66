// SPDX-License-Identifier: BSD-3-Clause

#include "memory/table_memory.h"

#include <numa.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <new>

#include "base/log.h"

namespace vduse::memory {
namespace {

constexpr size_t kCacheLine = 64;

class HugepagePlacer final : public TableAllocator {
  public:
    void* allocate(size_t bytes, int node) override {
        void* memory = rte_malloc_socket("vduse_table", bytes, kCacheLine, node);
        // If the node is full, use another: a remote table still works.
        return memory != nullptr || node == SOCKET_ID_ANY
                   ? memory
                   : rte_malloc_socket("vduse_table", bytes, kCacheLine, SOCKET_ID_ANY);
    }
    void release(void* memory, size_t /*bytes*/) override { rte_free(memory); }
};

class PlainPlacer final : public TableAllocator {
  public:
    PlainPlacer() { log(Severity::notice, "no hugepages: lookup tables use normal pages"); }

    void* allocate(size_t bytes, int node) override {
        if (numa_available() < 0)
            return ::operator new(bytes, std::align_val_t(kCacheLine), std::nothrow);
        return node < 0 ? numa_alloc_local(bytes) : numa_alloc_onnode(bytes, node);
    }
    void release(void* memory, size_t bytes) override {
        if (numa_available() < 0)
            ::operator delete(memory, std::align_val_t(kCacheLine));
        else
            numa_free(memory, bytes);
    }
};

}  // namespace

TableAllocator& default_table_allocator() {
    if (rte_eal_has_hugepages() != 0) {
        static HugepagePlacer hugepages;
        return hugepages;
    }
    static PlainPlacer plain;
    return plain;
}

int any_node() {
    return numa_available() < 0 || numa_max_node() > 0 ? -1 : 0;
}

int node_of_lcore(unsigned lcore) {
    return numa_available() < 0 ? -1
                                : numa_node_of_cpu(rte_lcore_to_cpu_id(static_cast<int>(lcore)));
}

}  // namespace vduse::memory
