// SPDX-License-Identifier: BSD-3-Clause

// Compares lookup tables of any regions with a model that searches all regions linearly.
#include <algorithm>
#include <limits>
#include <vector>

#include "fuzz/input.h"
#include "memory/table.h"
#include "support/guest_memory.h"

namespace vduse::test {
namespace {

using memory::Access;
using memory::Fault;
using memory::Iova;
using memory::Region;

constexpr Iova kTop = std::numeric_limits<Iova>::max();

/// Regions that do not overlap, in any order. Host addresses are only numbers and never accessed.
/// Some regions that are adjacent in IOVA are also adjacent in host memory.
std::vector<Region> regions_of(Input& input) {
    std::vector<Region> regions;
    uint64_t host = 1U << 20;
    Iova next = input.pick<Iova>({0, 0x1000, kTop - 0x4000, uint64_t{1} << 40});
    for (uint32_t count = input.below(12); count != 0; --count) {
        const Iova gap = input.flag() ? 0 : input.number<uint16_t>();
        const uint64_t last_byte = input.flag() ? input.byte() : input.number<uint32_t>();
        if (gap > kTop - next)
            break;
        const Iova first = next + gap;
        const Iova last = kTop - first < last_byte ? kTop : first + last_byte;
        if (!input.flag())
            host += uint64_t{1} << 34;
        const auto perm = static_cast<uint8_t>(input.below(4) ^ kReadWrite);
        regions.push_back({first, last, reinterpret_cast<std::byte*>(host), perm});
        host += last - first + 1;
        if (last == kTop)
            break;
        next = last + 1;
    }
    if (!regions.empty())
        std::rotate(
            regions.begin(),
            regions.begin() + input.below(static_cast<uint32_t>(regions.size())),
            regions.end()
        );
    return regions;
}

const Region* model_find(const std::vector<Region>& regions, Iova iova) {
    for (const Region& region : regions)
        if (iova >= region.first && iova <= region.last)
            return &region;
    return nullptr;
}

/// The host address of the byte at `iova`, or nullptr if `access` is not allowed.
std::byte* model_byte(const std::vector<Region>& regions, Iova iova, Access access) {
    const Region* region = model_find(regions, iova);
    const bool allowed = region != nullptr && (region->perm & static_cast<uint8_t>(access)) != 0;
    return allowed ? region->host + (iova - region->first) : nullptr;
}

void check_translation(
    const std::vector<Region>& regions,
    memory::Translator& translator,
    Iova iova,
    uint32_t bytes,
    Access access
) {
    memory::Segment segment;
    const Fault fault = translator.translate(iova, bytes, access, segment);
    const Region* region = model_find(regions, iova);
    if (region == nullptr)
        return check(fault == Fault::unmapped, "what nothing maps is unmapped");
    std::byte* const host = model_byte(regions, iova, access);
    if (host == nullptr)
        return check(fault == Fault::forbidden, "permissions hold");
    check(fault == Fault::none && segment.host == host, "an address leads where its region says");
    const uint64_t left = region->last - iova;
    check(segment.bytes >= 1 && segment.bytes <= bytes, "a segment is of what was asked for");
    check(segment.bytes - 1 <= left, "a segment ends with its region at the latest");
    check(segment.bytes == bytes || segment.bytes - 1 == left, "and not before");
}

void check_contiguous(
    const std::vector<Region>& regions,
    memory::Translator& translator,
    Iova iova,
    uint32_t bytes,
    Access access
) {
    std::byte* const start = translator.contiguous(iova, bytes, access);
    std::byte* const first = model_byte(regions, iova, access);
    bool all = bytes != 0 && first != nullptr;
    for (uint32_t i = 0; i < bytes && all; ++i)
        all = iova + i >= iova && model_byte(regions, iova + i, access) == first + i;
    check(start == (all ? first : nullptr), "what is contiguous is found, and nothing else");
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse;
    using namespace vduse::test;
    Input input(data, bytes);
    HeapAllocator allocator;
    memory::Translator translator;
    while (!input.empty()) {
        const auto regions = regions_of(input);
        const auto table = memory::Table::build(regions, allocator, -1);
        translator.set(table.get());
        check(table->regions().size() == regions.size(), "a table holds all regions");
        for (uint32_t questions = input.below(32); questions != 0; --questions) {
            memory::Iova iova = input.number<uint16_t>();
            if (!regions.empty() && input.flag()) {
                const auto& region = regions[input.below(static_cast<uint32_t>(regions.size()))];
                iova = (input.flag() ? region.first : region.last) + input.below(5) - 2;
            }
            const auto access = input.flag() ? memory::Access::write : memory::Access::read;
            const uint32_t length =
                1 + (input.flag() ? input.byte() : input.number<uint32_t>() / 2);
            check(table->find(iova) == nullptr || table->find(iova)->contains(iova), "find");
            check_translation(regions, translator, iova, length, access);
            check_contiguous(regions, translator, iova, length % 1024, access);
        }
        translator.set(nullptr);
    }
    check(allocator.live == 0, "tables are released");
    return 0;
}
