// SPDX-License-Identifier: BSD-3-Clause

#include "support/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace vduse::test {
namespace {

constexpr size_t kPage = 4096;

/// Aborts unless `condition`: without its memory a test proves nothing.
void require(bool condition, const char* what) {
    if (!condition) {
        std::perror(what);
        std::abort();
    }
}

}  // namespace

GuardedMemory::GuardedMemory(size_t bytes)
    : fd_(::memfd_create("guest", MFD_CLOEXEC)), bytes_(bytes) {
    const size_t pages = (bytes + kPage - 1) / kPage * kPage;
    require(bool(fd_) && ::ftruncate(fd_.get(), static_cast<off_t>(pages)) == 0, "memfd");
    const size_t whole = pages + 2 * kPage;
    constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* base = ::mmap(nullptr, whole, PROT_NONE, kReserve, -1, 0);
    require(base != MAP_FAILED, "mmap of guard pages");
    mapping_ = Mapping(base, whole);
    void* at = mapping_.data() + kPage;
    constexpr int kProtection = PROT_READ | PROT_WRITE;
    require(
        ::mmap(at, pages, kProtection, MAP_SHARED | MAP_FIXED, fd_.get(), 0) == at,
        "mmap of guest memory"
    );
    offset_ = pages - bytes;
    data_ = mapping_.data() + kPage + offset_;
}

AddressPair GuestMemory::add(memory::Iova first, memory::Iova last, uint8_t perm, uint64_t backed) {
    // Compares `last - first` because the size may be 2^64.
    const uint64_t bytes = last - first < backed ? last - first + 1 : backed;
    auto memory = std::make_unique<GuardedMemory>(bytes);
    std::byte* const host = memory->data();
    entries_.push_back({{first, last, host, perm}, std::move(memory)});
    return {host, first};
}

void GuestMemory::remove(memory::Iova first) {
    const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
        return e.region.first == first;
    });
    require(at != entries_.end(), "GuestMemory::remove: no such region");
    removed_.push_back(std::move(*at));
    entries_.erase(at);
}

const memory::Table* GuestMemory::table() {
    std::vector<memory::Region> regions;
    for (const Entry& entry : entries_)
        regions.push_back(entry.region);
    table_ = memory::Table::build(regions, allocator, -1);
    removed_.clear();
    return table_.get();
}

std::byte* GuestMemory::host(memory::Iova iova) const noexcept {
    for (const Entry& entry : entries_)
        if (entry.region.contains(iova))
            return entry.region.host + (iova - entry.region.first);
    require(false, "GuestMemory::host: not mapped");
    return nullptr;
}

void GuestMemory::write(memory::Iova iova, const void* bytes, size_t count) noexcept {
    const auto* from = static_cast<const std::byte*>(bytes);
    for (size_t i = 0; i < count; ++i)
        *host(iova + i) = from[i];
}

void GuestMemory::read(memory::Iova iova, void* bytes, size_t count) const noexcept {
    auto* to = static_cast<std::byte*>(bytes);
    for (size_t i = 0; i < count; ++i)
        to[i] = *host(iova + i);
}

}  // namespace vduse::test
