// SPDX-License-Identifier: BSD-3-Clause

// Guest memory for tests: regions at chosen IOVAs, each ending at a page that traps.
//
// A region is a memfd mapped right-aligned against PROT_NONE pages, so that an access one byte
// behind its end is a SIGSEGV and not a silent read of the neighbour (mmap has no red zones, and
// AddressSanitizer does not see mapped memory). Device and mock driver use the same mapping, for
// ThreadSanitizer does not understand two. The memfd is what the fake kernel hands out.
//
//   | PROT_NONE | slack < 1 page | the region ............ | PROT_NONE |
//               ^ file offset 0  ^ offset = iova `first`
//
// Keep the size of a region that holds a ring a multiple of the alignment that the ring needs.
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

/// Tables on the heap, where AddressSanitizer watches them. Counts what is not released yet.
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

/// Zeroed memory in a memfd, right-aligned against a page that traps.
class GuardedMemory {
  public:
    explicit GuardedMemory(size_t bytes);

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// Where `data()` is in the file.
    [[nodiscard]] uint64_t offset() const noexcept { return offset_; }

  private:
    UniqueFd fd_;
    Mapping mapping_;  ///< with the guard pages
    std::byte* data_ = nullptr;
    size_t bytes_ = 0;
    uint64_t offset_ = 0;
};

/// An address of the guest: ours, and the one that driver and device use.
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

    /// Adds [first, last] (inclusive). At most `backed` bytes from `first` on exist, so that a
    /// region may be all of 2^64; what lies behind them traps.
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
    /// Takes away the region that starts at `first`; its memory goes with the next `table()`.
    void remove(memory::Iova first);

    /// The lookup table of what there is now. The one before it is gone.
    const memory::Table* table();
    [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }

    /// The host address of `iova`, which must be mapped: the driver's view, no permission checked.
    [[nodiscard]] std::byte* host(memory::Iova iova) const noexcept;
    [[nodiscard]] AddressPair address(memory::Iova iova) const noexcept {
        return {host(iova), iova};
    }

    /// The driver's own reads and writes; they may cross regions.
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
