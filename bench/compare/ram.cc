// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/ram.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "memory/region.h"

namespace vduse::bench {

void give_up(const char* what) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    std::exit(1);
}

Ram::Ram(size_t regions) : fd_(::memfd_create("guest", MFD_CLOEXEC)) {
    const uint64_t bytes = regions * kRegionBytes;
    require(fd_ && ::ftruncate(fd_.get(), static_cast<off_t>(bytes)) == 0, "memfd");
    void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    require(base != MAP_FAILED, "mmap of guest memory");
    mapping_ = Mapping(base, bytes);
    constexpr auto kReadWrite =
        static_cast<uint8_t>(memory::Access::read) | static_cast<uint8_t>(memory::Access::write);
    for (size_t i = 0; i < regions; ++i) {
        const memory::Iova first = kFirst + i * 2 * kRegionBytes;
        regions_.push_back(
            {first, first + (kRegionBytes - 1), data() + i * kRegionBytes, kReadWrite}
        );
    }
}

}  // namespace vduse::bench
