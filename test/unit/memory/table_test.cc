// SPDX-License-Identifier: BSD-3-Clause

// memory/table.h: lookup and translation, including the arithmetic at both ends of 2^64.
#include "memory/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "support/guest_memory.h"

namespace vduse::test {
namespace {

using memory::Access;
using memory::Fault;
using memory::Iova;
using memory::Region;
using memory::Segment;
using memory::Table;
using memory::Translator;

constexpr Iova kTop = std::numeric_limits<Iova>::max();

/// Host addresses are only computed here, never accessed.
std::byte* host(uintptr_t address) {
    return reinterpret_cast<std::byte*>(address);
}

class TableTest : public testing::Test {
  protected:
    Translator& with(std::vector<Region> regions) {
        table_ = Table::build(regions, allocator_, -1);
        translator_.set(table_.get());
        return translator_;
    }
    /// Translates and expects `bytes` at `address`.
    void expect(Iova iova, uint32_t bytes, uintptr_t address, uint32_t piece_bytes) {
        Segment segment;
        ASSERT_EQ(translator_.translate(iova, bytes, Access::read, segment), Fault::none);
        EXPECT_EQ(segment.host, host(address));
        EXPECT_EQ(segment.bytes, piece_bytes);
    }
    Fault fault(Iova iova, uint32_t bytes, Access access = Access::read) {
        Segment segment;
        return translator_.translate(iova, bytes, access, segment);
    }

    HeapAllocator allocator_;
    Table::Pointer table_{nullptr, Table::Deleter{&allocator_}};
    Translator translator_;
};

TEST_F(TableTest, NoTableMapsNothing) {
    translator_.set(nullptr);
    EXPECT_EQ(fault(0, 1), Fault::unmapped);
    EXPECT_EQ(translator_.contiguous(0, 1, Access::read), nullptr);
}

TEST_F(TableTest, EmptyTableMapsNothing) {
    with({});
    EXPECT_EQ(fault(0, 1), Fault::unmapped);
    EXPECT_EQ(fault(kTop, 1), Fault::unmapped);
}

TEST_F(TableTest, FirstAndLastByteOfARegion) {
    with({{0x1000, 0x1fff, host(0x100000), kReadWrite}});
    expect(0x1000, 0x1000, 0x100000, 0x1000);
    expect(0x1fff, 1, 0x100fff, 1);
    EXPECT_EQ(fault(0xfff, 1), Fault::unmapped);
    EXPECT_EQ(fault(0x2000, 1), Fault::unmapped);
}

TEST_F(TableTest, PieceEndsWithItsRegion) {
    with({{0x1000, 0x1fff, host(0x100000), kReadWrite}});
    expect(0x1ff0, 0x11, 0x100ff0, 0x10);
    expect(0x1000, std::numeric_limits<uint32_t>::max(), 0x100000, 0x1000);
}

TEST_F(TableTest, UnsortedRegionsAreSorted) {
    with(
        {{0x5000, 0x5fff, host(0x500000), kReadWrite},
         {0x1000, 0x1fff, host(0x100000), kReadWrite},
         {0x3000, 0x3fff, host(0x300000), kReadWrite}}
    );
    EXPECT_EQ(table_->regions().size(), 3U);
    expect(0x1234, 4, 0x100234, 4);
    expect(0x3234, 4, 0x300234, 4);
    expect(0x5234, 4, 0x500234, 4);
    EXPECT_EQ(fault(0x2000, 1), Fault::unmapped);
    EXPECT_EQ(fault(0x4fff, 1), Fault::unmapped);
}

TEST_F(TableTest, PermissionIsCheckedOnEveryAccess) {
    with(
        {{0x1000, 0x1fff, host(0x100000), kRead},
         {0x2000, 0x2fff, host(0x200000), kWrite},
         {0x3000, 0x3fff, host(0x300000), 0}}
    );
    EXPECT_EQ(fault(0x1000, 1, Access::read), Fault::none);
    EXPECT_EQ(fault(0x1000, 1, Access::write), Fault::forbidden);
    EXPECT_EQ(fault(0x1000, 1, Access::read), Fault::none) << "of the region last hit, too";
    EXPECT_EQ(fault(0x2000, 1, Access::write), Fault::none);
    EXPECT_EQ(fault(0x2000, 1, Access::read), Fault::forbidden);
    EXPECT_EQ(fault(0x3000, 1, Access::read), Fault::forbidden);
    EXPECT_EQ(fault(0x3000, 1, Access::write), Fault::forbidden);
}

TEST_F(TableTest, LastByteOfTheAddressSpace) {
    with({{kTop - 0xfff, kTop, host(0x100000), kReadWrite}});
    expect(kTop, 1, 0x100fff, 1);
    expect(kTop, 16, 0x100fff, 1);
    expect(kTop - 0xfff, 0x1000, 0x100000, 0x1000);
    EXPECT_EQ(translator_.contiguous(kTop, 1, Access::read), host(0x100fff));
    EXPECT_EQ(translator_.contiguous(kTop, 2, Access::read), nullptr) << "wraps";
    EXPECT_EQ(fault(0, 1), Fault::unmapped);
}

TEST_F(TableTest, RegionOfTheWholeAddressSpace) {
    constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
    with({{0, kTop, host(0x1000), kReadWrite}});
    expect(0, kMost, 0x1000, kMost);
    expect(Iova{1} << 62, kMost, 0x1000 + (uintptr_t{1} << 62), kMost);
    EXPECT_TRUE(table_->find(kTop)->contains(kTop));
}

TEST_F(TableTest, FiveHundredRegions) {
    constexpr Iova kStep = 0x200000;
    std::vector<Region> regions;
    for (Iova i = 0; i < 512; ++i)
        regions.push_back({i * kStep, i * kStep + 0xfff, host(0x10000000 + i * 0x1000), kReadWrite}
        );
    with(regions);
    std::mt19937_64 random(1);
    for (int round = 0; round < 10000; ++round) {
        const Iova i = random() % 512;
        const Iova offset = random() % 0x1000;
        expect(i * kStep + offset, 1, 0x10000000 + i * 0x1000 + offset, 1);
        EXPECT_EQ(fault(i * kStep + 0x1000 + offset, 1), Fault::unmapped);
    }
}

// Many regions in one bucket, and many buckets without any.
TEST_F(TableTest, RegionsFarApart) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 50; ++round) {
        std::vector<Region> regions;
        Iova next = random() >> (random() % 64);
        const uint64_t most = 1 + random() % 300;
        while (regions.size() < most) {
            const Iova gap = random() % 8 == 0 ? random() >> (8 + random() % 56) : random() % 3;
            const Iova bytes = 1 + (random() >> (24 + random() % 40));
            if (next + gap < next || next + gap + bytes < next)
                break;
            next += gap;
            regions.push_back({next, next + bytes - 1, host(0x1000 + regions.size()), kReadWrite});
            next += bytes;
        }
        with(regions);
        const auto check = [&](Iova iova) {
            const auto right = std::ranges::find_if(regions, [&](const Region& region) {
                return region.contains(iova);
            });
            const Region* const found = table_->find(iova);
            ASSERT_EQ(found == nullptr, right == regions.end()) << iova;
            if (found != nullptr) {
                EXPECT_EQ(found->host, right->host) << iova;
            }
        };
        for (const Region& region : regions)
            for (const Iova iova :
                 {region.first - 1, region.first, region.last, region.last + 1, random()})
                check(iova);
        check(0);
        check(kTop);
    }
}

TEST_F(TableTest, ContiguousCrossesRegionsThatAreNeighboursForUsToo) {
    with(
        {{0x1000, 0x1fff, host(0x100000), kReadWrite},
         {0x2000, 0x2fff, host(0x101000), kReadWrite},  // contiguous
         {0x3000, 0x3fff, host(0x900000), kReadWrite},  // elsewhere
         {0x4000, 0x4fff, host(0x901000), kRead},       // contiguous, but read-only
         {0x6000, 0x6fff, host(0x903000), kReadWrite}}  // after a gap
    );
    auto& t = translator_;
    EXPECT_EQ(t.contiguous(0x1800, 0x1800, Access::write), host(0x100800));
    EXPECT_EQ(t.contiguous(0x1800, 0x1801, Access::write), nullptr);
    EXPECT_EQ(t.contiguous(0x3000, 0x2000, Access::read), host(0x900000));
    EXPECT_EQ(t.contiguous(0x3000, 0x1001, Access::write), nullptr);
    EXPECT_EQ(t.contiguous(0x4000, 0x2001, Access::read), nullptr);
    EXPECT_EQ(t.contiguous(0x1000, 0, Access::read), nullptr);
    EXPECT_EQ(t.contiguous(kTop - 1, 4, Access::read), nullptr);
}

TEST_F(TableTest, AnotherTableForgetsTheLastHit) {
    with({{0x1000, 0x1fff, host(0x100000), kReadWrite}});
    EXPECT_EQ(fault(0x1000, 1), Fault::none);
    auto old = std::move(table_);
    with({{0x2000, 0x2fff, host(0x200000), kReadWrite}});
    EXPECT_EQ(fault(0x1000, 1), Fault::unmapped);
    expect(0x2000, 1, 0x200000, 1);
}

TEST_F(TableTest, MemoryComesFromTheAllocatorAndGoesBack) {
    with({{0x1000, 0x1fff, host(0x100000), kReadWrite}});
    EXPECT_EQ(allocator_.live, 1);
    table_.reset();
    EXPECT_EQ(allocator_.live, 0);
    allocator_.exhausted = true;
    with({{0x1000, 0x1fff, host(0x100000), kReadWrite}});
    EXPECT_EQ(table_, nullptr);
}

}  // namespace
}  // namespace vduse::test
