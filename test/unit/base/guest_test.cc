// SPDX-License-Identifier: BSD-3-Clause

// base/guest.h: copies of each length, and not a byte more.
#include "base/guest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace vduse::test {
namespace {

constexpr size_t kGuard = 80;
constexpr std::byte kUntouched{0xee};

/// Checks `copy(to, from, bytes)` at lengths around each size at which it takes another way.
template <class Copy>
void check(Copy copy) {
    std::vector<std::byte> from(4096);
    std::vector<uint8_t> numbers(from.size());
    std::iota(numbers.begin(), numbers.end(), uint8_t{1});
    std::ranges::transform(numbers, from.begin(), [](uint8_t number) { return std::byte{number}; });
    for (size_t bytes = 0; bytes < 2200; ++bytes) {
        std::vector<std::byte> to(kGuard + bytes + kGuard, kUntouched);
        copy(to.data() + kGuard, from.data(), bytes);
        const auto begin = to.begin() + kGuard;
        const auto end = begin + static_cast<ptrdiff_t>(bytes);
        ASSERT_TRUE(std::equal(begin, end, from.begin())) << bytes;
        const auto untouched = [](std::byte byte) { return byte == kUntouched; };
        ASSERT_TRUE(std::all_of(to.begin(), begin, untouched)) << bytes;
        ASSERT_TRUE(std::all_of(end, to.end(), untouched)) << bytes;
    }
}

TEST(Guest, FetchesAnyLength) {
    check(guest::fetch_bytes);
}

TEST(Guest, StoresAnyLength) {
    check(guest::store_bytes);
}

TEST(Guest, FetchesObjects) {
    struct Sixteen {
        uint64_t first;
        uint32_t second;
        uint16_t third;
        uint16_t fourth;
    };
    const Sixteen there{1, 2, 3, 4};
    const auto here = guest::fetch<Sixteen>(&there);
    EXPECT_EQ(here.first, 1U);
    EXPECT_EQ(here.second, 2U);
    EXPECT_EQ(here.third, 3U);
    EXPECT_EQ(here.fourth, 4U);
    const uint16_t number = 7;
    EXPECT_EQ(guest::fetch<uint16_t>(&number), 7U);
}

}  // namespace
}  // namespace vduse::test
