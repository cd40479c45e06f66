// SPDX-License-Identifier: BSD-3-Clause

// Guest memory for tests: regions at chosen IOVAs, each ending at a page that traps.
//
// A region is a memfd, mapped right-aligned against a PROT_NONE page. An access one byte past its
// end is a SIGSEGV and not a silent read of the neighbour (mmap has no red zones, and
// AddressSanitizer does not see mapped memory). Device and mock driver use the same mapping because
// ThreadSanitizer does not understand two. The fake kernel hands out the memfd.
//
//   | PROT_NONE | slack < 1 page | the region ............ | PROT_NONE |
//               ^ file offset 0  ^ offset = iova `first`
//
// The size of a region that holds a ring must be a multiple of the ring's alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "base/fd.h"
#include "memory/table.h"
#include "memory/table_memory.h"

namespace vduse::test {

inline constexpr uint8_t kRead = static_cast<uint8_t>(memory::Access::read);
inline constexpr uint8_t kWrite = static_cast<uint8_t>(memory::Access::write);
inline constexpr uint8_t kReadWrite = kRead | kWrite;

/// Allocates tables on the heap, where AddressSanitizer checks accesses. `live` counts the
/// allocations that are not released yet.
class HeapAllocator final : public memory::TableAllocator {
  public:
    void* allocate(size_t bytes, int node) override {
        last_node = node;
        if (exhausted)
            return nullptr;
        ++live;
        return ::operator new(bytes, std::align_val_t(64));
    }
    void release(void* memory, size_t /*bytes*/) override {
        --live;
        ::operator delete(memory, std::align_val_t(64));
    }

    bool exhausted = false;
    int live = 0;
    int last_node = -1;
};

/// Zeroed memory in a memfd, right-aligned against a guard page.
class GuardedMemory {
  public:
    explicit GuardedMemory(size_t bytes);

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// The file offset of `data()`.
    [[nodiscard]] uint64_t offset() const noexcept { return offset_; }

  private:
    UniqueFd fd_;
    Mapping mapping_;  ///< includes the guard pages
    std::byte* data_ = nullptr;
    size_t bytes_ = 0;
    uint64_t offset_ = 0;
};

/// A guest address: the host pointer of this process, and the IOVA that driver and device use.
struct AddressPair {
    std::byte* host = nullptr;
    memory::Iova iova = 0;
};

class GuestMemory {
  public:
    struct Entry {
        memory::Region region;
        std::unique_ptr<GuardedMemory> memory;
    };

    /// Adds [first, last] (inclusive). Only the first `backed` bytes are backed by memory, so a
    /// region may span all of 2^64. An access past them traps.
    AddressPair add(
        memory::Iova first,
        memory::Iova last,
        uint8_t perm = kReadWrite,
        uint64_t backed = uint64_t{1} << 30
    );
    /// Adds a region of `bytes` at `first`.
    AddressPair add_bytes(memory::Iova first, uint64_t bytes, uint8_t perm = kReadWrite) {
        return add(first, first + (bytes - 1), perm);
    }
    /// Removes the region that starts at `first`. Its memory is freed by the next `table()`.
    void remove(memory::Iova first);

    /// Builds the lookup table of the current regions. The previous table is freed.
    const memory::Table* table();
    [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }

    /// The host address of `iova`, which must be mapped. This is the driver's view: no permission
    /// is checked.
    [[nodiscard]] std::byte* host(memory::Iova iova) const noexcept;
    [[nodiscard]] AddressPair address(memory::Iova iova) const noexcept {
        return {host(iova), iova};
    }

    /// Reads and writes of the driver. They may cross regions.
    void write(memory::Iova iova, const void* bytes, size_t count) noexcept;
    void read(memory::Iova iova, void* bytes, size_t count) const noexcept;
    template <class T>
    requires std::is_trivially_copyable_v<T>
    void store(memory::Iova iova, const T& value) noexcept { write(iova, &value, sizeof value); }
    template <class T>
    requires std::is_trivially_copyable_v<T>
    [[nodiscard]] T load(memory::Iova iova) const noexcept {
        T value;
        read(iova, &value, sizeof value);
        return value;
    }

    HeapAllocator allocator;

  private:
    std::vector<Entry> entries_;
    std::vector<Entry> removed_;
    memory::Table::Pointer table_{nullptr, memory::Table::Deleter{nullptr}};
};

}  // namespace vduse::test
