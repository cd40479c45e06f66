// SPDX-License-Identifier: BSD-3-Clause

// memory/table_memory.h without hugepages, as possible on every machine.
#include "memory/table_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "support/eal.h"

namespace vduse::test {
namespace {

// Case 154: this is logged once. Tables are in normal pages then, on a given node or on any.
TEST(TableAllocator, Case154_NoHugepages) {
    testing::internal::CaptureStderr();
    memory::TableAllocator& allocator = memory::default_table_allocator();
    for (const int node : {-1, 0}) {
        for (const size_t bytes : {size_t{1}, size_t{64}, size_t{100000}}) {
            void* memory = allocator.allocate(bytes, node);
            ASSERT_NE(memory, nullptr);
            EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0U);
            std::memset(memory, 0xff, bytes);
            allocator.release(memory, bytes);
        }
    }
    EXPECT_EQ(&memory::default_table_allocator(), &allocator);
    const std::string log = testing::internal::GetCapturedStderr();
    const size_t said = log.find("no hugepages");
    EXPECT_NE(said, std::string::npos);
    EXPECT_EQ(log.find("no hugepages", said + 1), std::string::npos) << "once";
}

}  // namespace
}  // namespace vduse::test
