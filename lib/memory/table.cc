// SPDX-License-Identifier: BSD-3-Clause

#include "memory/table.h"

#include <new>

namespace vduse::memory {
namespace {

size_t bytes_of(size_t regions) {
    return sizeof(Table) + regions * sizeof(Region);
}

}  // namespace

void Table::Deleter::operator()(Table* table) const noexcept {
    allocator->release(table, bytes_of(table->count_));
}

Table::Pointer Table::build(std::span<const Region> regions, TableAllocator& allocator, int node) {
    static_assert(sizeof(Table) % alignof(Region) == 0);
    void* memory = allocator.allocate(bytes_of(regions.size()), node);
    if (memory == nullptr)
        return {nullptr, Deleter{&allocator}};
    auto* copy = reinterpret_cast<Region*>(static_cast<std::byte*>(memory) + sizeof(Table));
    std::uninitialized_copy(regions.begin(), regions.end(), copy);
    std::sort(copy, copy + regions.size(), [](const Region& a, const Region& b) {
        return a.first < b.first;
    });
    return {new (memory) Table(copy, static_cast<uint32_t>(regions.size())), Deleter{&allocator}};
}

std::byte* Translator::contiguous(Iova iova, uint32_t bytes, Access access) noexcept {
    if (bytes == 0 || iova + (bytes - 1) < iova)
        return nullptr;
    std::byte* start = nullptr;
    for (uint32_t done = 0; done < bytes;) {
        Segment segment;
        if (translate(iova + done, bytes - done, access, segment) != Fault::none)
            return nullptr;
        if (start == nullptr)
            start = segment.host;
        else if (segment.host != start + done)
            return nullptr;
        done += segment.bytes;
    }
    return start;
}

}  // namespace vduse::memory
