// SPDX-License-Identifier: BSD-3-Clause

// Descriptors with high numbers, which the kernel closes first when the process dies.
#include "base/fd.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

namespace vduse::test {
namespace {

UniqueFd event() {
    return UniqueFd(::eventfd(0, EFD_CLOEXEC));
}

TEST(Fd, TheSameFileByAHighNumber) {
    UniqueFd low = event();
    const int number = low.get();
    const UniqueFd high = dup_to_high_fd(std::move(low));
    EXPECT_GT(high.get(), 700);
    EXPECT_EQ(::fcntl(high.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(event().get(), number) << "the low one is closed";
    raise_eventfd(high.get());
    uint64_t count = 0;
    EXPECT_EQ(::read(high.get(), &count, sizeof count), ssize_t{sizeof count});
}

TEST(Fd, WhereThereAreNoHighNumbers) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit few = before;
    few.rlim_cur = 64;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    UniqueFd low = event();
    const int number = low.get();
    EXPECT_EQ(dup_to_high_fd(std::move(low)).get(), number);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace vduse::test
