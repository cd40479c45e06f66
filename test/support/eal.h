// SPDX-License-Identifier: BSD-3-Clause

// DPDK's EAL and mempools for unit tests; see mbufs.h.
//
// Including this header initialises the EAL once, before the first test of the program.
#pragma once

#include <gtest/gtest.h>

#include "support/mbufs.h"

namespace vduse::test {

/// EAL arguments in addition to those of start_eal. A program may change them before main.
inline std::vector<std::string> eal_arguments = {"--no-telemetry", "-l", "0"};

class Eal final : public testing::Environment {
  public:
    void SetUp() override { ASSERT_TRUE(start_eal(eal_arguments)) << rte_strerror(rte_errno); }
    void TearDown() override { rte_eal_cleanup(); }
};
inline testing::Environment* const eal = testing::AddGlobalTestEnvironment(new Eal);

/// A pool of mbufs. Its destructor fails the test if mbufs are missing.
class Pool : public MbufPool {
  public:
    explicit Pool(unsigned mbufs, uint16_t room = kRoom) : MbufPool(mbufs, room) {
        EXPECT_NE(get(), nullptr) << rte_strerror(rte_errno);
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() { EXPECT_EQ(in_use(), 0U) << "mbufs leaked"; }
};

}  // namespace vduse::test
