// SPDX-License-Identifier: BSD-3-Clause

#include "memory/space.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>

#include "base/log.h"

namespace vduse::memory {
namespace {

constexpr size_t kPrefaultStep = size_t{4} << 20;
constexpr Iova kLastIova = std::numeric_limits<Iova>::max();

using Files = std::vector<std::shared_ptr<FileMapping>>;

size_t round_up(uint64_t bytes, uint64_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/// Maps `bytes` of `file` from `offset`. Returns nullptr with errno set on failure.
std::shared_ptr<FileMapping> map(int file, uint64_t offset, size_t bytes, bool writable) {
    const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void* address =
        ::mmap(nullptr, bytes, protection, MAP_SHARED, file, static_cast<off_t>(offset));
    if (address == MAP_FAILED)
        return nullptr;
    ::madvise(address, bytes, MADV_DONTDUMP);  // a core dump must not touch bounce pages
    auto result = std::make_shared<FileMapping>();
    result->mapping = Mapping(address, bytes);
    result->watched.emplace(address, bytes);
    result->writable = writable;
    return result;
}

/// Maps the whole regular file `file`, or returns its mapping in `known`; a new one is added there.
/// The protection is that of the file, not of the region: the table has the region's permission.
std::shared_ptr<FileMapping> map_file(int file, const struct stat& status, Files& known) {
    const auto same = [&](const auto& f) {
        return f->device == status.st_dev && f->inode == status.st_ino &&
               f->mapping.bytes() >= static_cast<size_t>(status.st_size) && !f->watched->lost();
    };
    if (const auto found = std::find_if(known.begin(), known.end(), same); found != known.end())
        return *found;
    // A hugetlbfs file can be mapped and unmapped only in whole huge pages (st_blksize).
    const size_t bytes = round_up(
        static_cast<uint64_t>(status.st_size),
        static_cast<uint64_t>(std::max<blksize_t>(status.st_blksize, 4096))
    );
    auto result = map(file, 0, bytes, true);
    if (result == nullptr && (errno == EACCES || errno == EPERM))
        result = map(file, 0, bytes, false);
    if (result != nullptr) {
        result->device = status.st_dev;
        result->inode = status.st_ino;
        result->guest_file = true;
        known.push_back(result);
    }
    return result;
}

struct Mapped {
    std::shared_ptr<FileMapping> file;
    std::byte* host = nullptr;
};

/// `known`: mappings of whole regular files.
Result<Mapped> map_region(const uapi::IotlbRegion& region, Files& known) {
    const uint64_t last_byte = region.last - region.first;  // one less than the size
    struct stat status {};
    if (::fstat(region.file.get(), &status) != 0)
        return Error{errno, "fstat of guest memory"};
    if (S_ISREG(status.st_mode)) {
        const auto size = static_cast<uint64_t>(status.st_size);
        if (region.offset >= size || last_byte > size - 1 - region.offset)
            return Error{ERANGE, "the file of guest memory is shorter than the region"};
        auto file = map_file(region.file.get(), status, known);
        if (file == nullptr)
            return Error{errno, "mmap of guest memory"};
        std::byte* host = file->mapping.data() + region.offset;
        return Mapped{std::move(file), host};
    }
    if (last_byte >= std::numeric_limits<int64_t>::max())
        return Error{ERANGE, "the region is larger than any mapping"};
    const size_t bytes = round_up(last_byte + 1, 4096);
    auto file = map(region.file.get(), region.offset, bytes, true);
    if (file == nullptr && errno == EACCES)
        file = map(region.file.get(), region.offset, bytes, false);
    if (file == nullptr)
        return Error{errno, "mmap of the kernel's bounce memory"};
    std::byte* host = file->mapping.data();
    return Mapped{std::move(file), host};
}

}  // namespace

Result<Space> map_space(
    uapi::DeviceNode& device,
    uint32_t asid,
    std::span<const Space> mapped_before,
    TableAllocator& allocator,
    int node
) {
    Space space;
    Files known;
    for (const Space& other : mapped_before)
        std::ranges::copy_if(other.files_, std::back_inserter(known), [](const auto& file) {
            return file->guest_file;
        });
    std::vector<Region> regions;
    for (Iova next = 0;;) {
        const auto found = device.iotlb_region(asid, next, kLastIova);
        if (!found) {
            // EINVAL is the end of the list. On other errors, the regions found so far are used.
            if (found.error().code != EINVAL)
                log(Severity::warning, "space %u: %s", asid, found.error().text().c_str());
            break;
        }
        // A region before `next`, or an empty one, would make this loop endless.
        if (found->last < found->first || found->last < next)
            break;
        if (regions.size() == kMaxRegions) {
            ++space.unusable_;
            log(Severity::warning, "space %u: more than %zu regions", asid, kMaxRegions);
            break;
        }
        auto mapped = map_region(*found, known);
        if (mapped) {
            // The file may have been opened with fewer rights than the region claims.
            const auto most = static_cast<uint8_t>(mapped->file->writable ? 3 : 1);
            const auto perm = static_cast<uint8_t>(found->perm & most);
            regions.push_back({found->first, found->last, mapped->host, perm});
            if (std::ranges::find(space.files_, mapped->file) == space.files_.end())
                space.files_.push_back(std::move(mapped->file));
        } else if (++space.unusable_ == 1) {
            log(Severity::warning,
                "space %u: region 0x%llx-0x%llx cannot be used: %s",
                asid,
                static_cast<unsigned long long>(found->first),
                static_cast<unsigned long long>(found->last),
                mapped.error().text().c_str());
        }
        if (found->last == kLastIova)
            break;
        next = found->last + 1;
    }
    space.table_ = Table::build(regions, allocator, node);
    if (!space.table_)
        return Error{ENOMEM, "lookup table"};
    return space;
}

bool Space::lost() const noexcept {
    return std::ranges::any_of(files_, [](const auto& file) { return file->watched->lost(); });
}

bool Space::prefault_step() {
    if (prefaulted_)
        return false;
    for (const auto& file : files_) {
        if (!file->guest_file)
            continue;
        std::byte* const base = file->mapping.data();
        std::byte* const done = base + file->faulted_in;
        // The part of a region after `done` that is first in the file.
        std::byte* start = nullptr;
        std::byte* end = nullptr;
        for (const Region& region : regions()) {
            std::byte* const region_end = region.host + (region.last - region.first) + 1;
            if (region.host < base || region_end > base + file->mapping.bytes() ||
                region_end <= done)
                continue;
            std::byte* const region_start = std::max(region.host, done);
            if (start == nullptr || region_start < start) {
                start = region_start;
                end = region_end;
            }
        }
        if (start == nullptr)
            continue;
        const size_t bytes = std::min(static_cast<size_t>(end - start), kPrefaultStep);
        file->faulted_in = static_cast<size_t>(start - base) + bytes;
        const size_t offset = static_cast<size_t>(start - base) / 4096 * 4096;
        // Best effort: memory that cannot be faulted in now causes a page fault, or SIGBUS, later.
        ::madvise(
            base + offset,
            round_up(file->faulted_in - offset, 4096),
            file->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ
        );
        return true;
    }
    prefaulted_ = true;
    return false;
}

}  // namespace vduse::memory
