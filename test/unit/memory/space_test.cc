// SPDX-License-Identifier: BSD-3-Clause

// memory/space.h on the fake kernel: what is mapped, shared or refused.
#include "memory/space.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <string>

#include "support/fake_kernel.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using memory::Access;
using memory::Iova;
using memory::map_space;
using memory::Space;

constexpr Iova kTop = std::numeric_limits<Iova>::max();

class AddressSpaceTest : public testing::Test {
  protected:
    AddressSpaceTest() {
        auto control = kernel.open_control();
        EXPECT_TRUE((*control)->set_api_version(1));
        const uapi::CreateParameters parameters{
            "vd0", virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform, 2, 1, 2, {}};
        EXPECT_TRUE((*control)->create(parameters));
        auto opened = kernel.open_device("vd0", 1);
        node = std::move(*opened);
        device = kernel.device("vd0");
    }
    Space build(const Space& previous = Space()) {
        auto space = map_space(*node, 0, std::span(&previous, 1), allocator, -1);
        EXPECT_TRUE(space);
        return space ? std::move(*space) : Space();
    }
    /// The host address of `iova` in a space, or nullptr.
    static std::byte* host(const Space& space, Iova iova) {
        const memory::Region* region = space.table()->find(iova);
        return region == nullptr ? nullptr : region->host + (iova - region->first);
    }

    FakeKernel kernel;
    HeapAllocator allocator;
    std::unique_ptr<uapi::DeviceNode> node;
    FakeDevice* device = nullptr;
};

TEST_F(AddressSpaceTest, EmptySpace) {
    const Space space = build();
    EXPECT_TRUE(space.regions().empty());
    EXPECT_EQ(space.unusable(), 0U);
    EXPECT_EQ(Space().table(), nullptr);
}

TEST_F(AddressSpaceTest, SameBytesAsTheDriver) {
    GuestMemory memory;
    memory.add_bytes(0x1000, 0x3000);
    memory.add_bytes(0x100000, 100, kRead);
    device->map(0, memory);
    const Space space = build();
    ASSERT_EQ(space.regions().size(), 2U);
    EXPECT_EQ(space.regions()[0].perm, kReadWrite);
    EXPECT_EQ(space.regions()[1].perm, kRead);
    memory.store<uint32_t>(0x3ffc, 0xdeadbeef);
    EXPECT_EQ(std::memcmp(host(space, 0x3ffc), memory.host(0x3ffc), 4), 0);
    memory.store<uint8_t>(0x100000 + 99, 0x5a);
    EXPECT_EQ(*host(space, 0x100000 + 99), std::byte{0x5a});
    *host(space, 0x1000) = std::byte{0x77};
    EXPECT_EQ(memory.load<uint8_t>(0x1000), 0x77);
    EXPECT_EQ(host(space, 0x4000), nullptr);
}

TEST_F(AddressSpaceTest, EachSpaceHasItsOwn) {
    GuestMemory first;
    GuestMemory second;
    first.add_bytes(0x1000, 0x1000);
    second.add_bytes(0x1000, 0x1000);
    device->map(0, first);
    device->map(1, second);
    first.store<uint8_t>(0x1000, 1);
    second.store<uint8_t>(0x1000, 2);
    const Space space_0 = build();
    auto space_1 = map_space(*node, 1, {}, allocator, -1);
    ASSERT_TRUE(space_1);
    EXPECT_EQ(*host(space_0, 0x1000), std::byte{1});
    EXPECT_EQ(*host(*space_1, 0x1000), std::byte{2});
}

// Finding 9: migration splits the same memory differently during its downtime.
TEST_F(AddressSpaceTest, UnchangedMemoryIsNotMappedAgain) {
    GuestMemory memory;
    memory.add_bytes(0, 0x100000);
    const GuardedMemory& file = *memory.entries()[0].memory;
    device->map(0, 0, 0xfffff, file.fd(), 0, kReadWrite);
    Space space = build();
    std::byte* const before = host(space, 0);
    // Split in two, one half at another address, with a shadow ring of another file in between.
    device->unmap_all(0);
    device->map(0, 0, 0x7ffff, file.fd(), 0, kReadWrite);
    device->map(0, 0x900000, 0x97ffff, file.fd(), 0x80000, kReadWrite);
    GuestMemory rings;
    rings.add_bytes(0x80000, 0x1000, kRead);
    device->map(0, rings);
    Space sliced = build(space);
    EXPECT_EQ(host(sliced, 0), before);
    EXPECT_EQ(host(sliced, 0x900000), before + 0x80000);
    EXPECT_NE(host(sliced, 0x80000), nullptr);
    space = Space();
    *host(sliced, 0x900000) = std::byte{1};  // still mapped without the old space
}

TEST_F(AddressSpaceTest, AnotherFileIsMappedAnew) {
    GuestMemory memory;
    memory.add_bytes(0, 0x1000);
    device->map(0, memory);
    const Space space = build();
    GuestMemory other;
    other.add_bytes(0, 0x1000);
    other.store<uint8_t>(0, 9);
    device->unmap_all(0);
    device->map(0, other);
    const Space next = build(space);
    EXPECT_EQ(*host(next, 0), std::byte{9});
}

// A file that is opened read-only: the kernel does not check how it was opened.
TEST_F(AddressSpaceTest, Case32_ReadOnlyFileInAWritableRegion) {
    GuestMemory memory;
    memory.add_bytes(0x1000, 0x1000);
    const std::string path = "/proc/self/fd/" + std::to_string(memory.entries()[0].memory->fd());
    const UniqueFd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(read_only);
    device->map(0, 0x1000, 0x1fff, read_only.get(), 0, kReadWrite);
    const Space space = build();
    for (const memory::Region& region : space.regions()) {
        EXPECT_TRUE(region.allows(Access::read));
        EXPECT_FALSE(region.allows(Access::write)) << "a write would be a SIGSEGV of our own";
    }
}

// Case 120: the query for one of several regions fails.
TEST_F(AddressSpaceTest, Case120_FailuresInTheMiddle) {
    GuestMemory memory;
    for (Iova i = 0; i < 3; ++i)
        memory.add_bytes(0x10000 * (i + 1), 0x1000);
    device->map(0, memory);
    for (unsigned nth = 1; nth <= 3; ++nth) {
        kernel.faults.fail("iotlb_region", EMFILE, nth);
        const Space space = build();
        EXPECT_EQ(space.regions().size(), nth - 1) << "those before it are usable";
    }
    EXPECT_EQ(build().regions().size(), 3U);
}

TEST_F(AddressSpaceTest, Case120_WhatCannotBeMapped) {
    GuestMemory memory;
    memory.add_bytes(0x1000, 0x1000);
    memory.add_bytes(0x5000, 0x1000);
    device->map(0, memory);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd in(ends[0]);
    const UniqueFd out(ends[1]);
    device->map(0, 0x3000, 0x3fff, in.get(), 0, kReadWrite);
    const Space space = build();
    EXPECT_EQ(space.unusable(), 1U);
    EXPECT_EQ(space.regions().size(), 2U);
    EXPECT_EQ(host(space, 0x3000), nullptr);
    EXPECT_NE(host(space, 0x5000), nullptr);
    for (const memory::Region& region : space.regions())
        EXPECT_NE(region.host, MAP_FAILED);
}

// Case 121: an access past the end of the file would be a SIGBUS.
TEST_F(AddressSpaceTest, Case121_FileShorterThanTheRegion) {
    GuestMemory memory;
    memory.add_bytes(0, 0x2000);
    const int fd = memory.entries()[0].memory->fd();
    const struct {
        Iova first, last;
        uint64_t offset;
        bool good;
    } cases[] = {
        {0, 0x1fff, 0, true},
        {0, 0x2000, 0, false},
        {0, 0xfff, 0x1000, true},
        {0, 0xfff, 0x1001, false},
        {0, 0, 0x1fff, true},
        {0, 0, 0x2000, false},
        {0, 0xfff, ~uint64_t{0} - 0x7ff, false},  // offset and size wrap
        {0, kTop, 0, false},
        {0, kTop, 1, false},
        {kTop - 0xfff, kTop, 0, true},
    };
    for (const auto& c : cases) {
        device->unmap_all(0);
        device->map(0, c.first, c.last, fd, c.offset, kReadWrite);
        const Space space = build();
        EXPECT_EQ(space.regions().size(), c.good ? 1U : 0U) << c.offset;
        EXPECT_EQ(space.unusable(), c.good ? 0U : 1U);
    }
}

/// A node whose space has `count` regions of one page, a page apart, all of the same file. A driver
/// makes such regions by mapping page by page. No other method is called.
class ManyRegions final : public uapi::DeviceNode {
  public:
    ManyRegions(int file, uint64_t count) : file_(file), count_(count) {}

    Result<uapi::IotlbRegion> iotlb_region(uint32_t, uint64_t first, uint64_t) override {
        const uint64_t index = (first + 0x1000) / 0x2000;
        if (index >= count_)
            return Error{EINVAL, "no region"};
        const Iova at = index * 0x2000;
        return uapi::IotlbRegion{at, at + 0xfff, 0, kRead, UniqueFd(::dup(file_))};
    }
    [[nodiscard]] int fd() const override { return -1; }
    Result<uapi::abi::Request> read_request() override { return no(); }
    Result<void> write_response(const uapi::abi::Response&) override { return no(); }
    Result<uint64_t> driver_features() override { return no(); }
    Result<void> set_config(uint32_t, std::span<const uint8_t>) override { return no(); }
    Result<void> inject_config_irq() override { return no(); }
    Result<void> vq_setup(uint32_t, uint16_t, uint32_t) override { return no(); }
    Result<uapi::abi::VqInfo> vq_info(uint32_t) override { return no(); }
    Result<void> vq_kickfd(uint32_t, int) override { return no(); }
    int inject_irq(uint32_t) noexcept override { return ENOTSUP; }

  private:
    static Error no() { return {ENOTSUP, "not here"}; }

    int file_;
    uint64_t count_;
};

// Case 35: the number of mappings is limited. Regions past the limit count as unmapped.
TEST_F(AddressSpaceTest, Case35_TooManyRegions) {
    GuestMemory memory;
    memory.add_bytes(0, 0x1000);
    const int file = memory.entries()[0].memory->fd();
    const auto count = [&](uint64_t regions) {
        ManyRegions many(file, regions);
        auto space = map_space(many, 0, {}, allocator, -1);
        EXPECT_TRUE(space);
        EXPECT_EQ(space->unusable(), regions > memory::kMaxRegions ? 1U : 0U);
        const Iova last = (regions - 1) * 0x2000;
        EXPECT_EQ(host(*space, last) == nullptr, regions > memory::kMaxRegions);
        EXPECT_NE(host(*space, last - 0x2000), nullptr);
        return space->regions().size();
    };
    EXPECT_EQ(memory::kMaxRegions, 32768U);
    EXPECT_EQ(count(32767), 32767U);
    EXPECT_EQ(count(32768), 32768U);
    EXPECT_EQ(count(32769), 32768U);
}

TEST_F(AddressSpaceTest, SpacesShareTheMappingOfAFile) {
    GuestMemory memory;
    memory.add_bytes(0x1000, 0x1000);
    device->map(0, memory);
    device->map(1, memory);
    auto first = std::make_unique<Space>(build());
    const auto second = map_space(*node, 1, std::span(first.get(), 1), allocator, -1);
    ASSERT_TRUE(second);
    ASSERT_NE(host(*second, 0x1000), nullptr);
    EXPECT_EQ(host(*second, 0x1000), host(*first, 0x1000));
    first.reset();
    memory.store<uint8_t>(0x1000, 0x42);
    EXPECT_EQ(*host(*second, 0x1000), std::byte{0x42})
        << "a space outlives the one that mapped first";
}

TEST_F(AddressSpaceTest, NoMemoryForTheTable) {
    allocator.exhausted = true;
    EXPECT_FALSE(map_space(*node, 0, {}, allocator, -1));
    EXPECT_EQ(allocator.live, 0);
}

TEST_F(AddressSpaceTest, TablesGoBackToTheAllocator) {
    {
        const Space space = build();
        EXPECT_EQ(allocator.live, 1);
    }
    EXPECT_EQ(allocator.live, 0);
}

TEST_F(AddressSpaceTest, PrefaultingComesToAnEnd) {
    GuestMemory memory;
    memory.add_bytes(0x10000, 10 << 20);
    memory.add_bytes(0x4000'0000, 0x1000, kRead);
    device->map(0, memory);
    Space space = build();
    int steps = 0;
    while (space.prefault_step())
        ASSERT_LT(++steps, 100);
    EXPECT_GE(steps, 3);
    EXPECT_FALSE(Space().prefault_step());
}

}  // namespace
}  // namespace vduse::test
