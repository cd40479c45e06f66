// SPDX-License-Identifier: BSD-3-Clause

// Assignment of jobs to workers.
#include "app/datapath/placement.h"

#include <gtest/gtest.h>

#include <array>

namespace vduse::app {
namespace {

using Places = std::vector<size_t>;

constexpr std::array<WorkerSlot, 4> kTwoNodes = {{{2, 0}, {3, 0}, {10, 1}, {11, 1}}};

Places placed(std::vector<Job> jobs, std::span<const WorkerSlot> slots = kTwoNodes) {
    const auto places = assign_workers(jobs, slots);
    EXPECT_TRUE(places);
    return places ? *places : Places{};
}

TEST(Placement, InTurn) {
    EXPECT_EQ(placed({{"a"}, {"b"}, {"c"}, {"d"}, {"e"}}), (Places{0, 1, 2, 3, 0}));
    EXPECT_EQ(placed({}), Places{});
}

TEST(Placement, NearThePort) {
    EXPECT_EQ(placed({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 0}}), (Places{2, 3, 2, 0}));
    EXPECT_EQ(placed({{"a", 7}, {"b", 7}}), (Places{0, 1})) << "no worker is near";
}

TEST(Placement, WhatNeedsNoNodeGoesWhereLeastIsDone) {
    EXPECT_EQ(placed({{"a", 0}, {"b", 0}, {"c"}, {"d"}}), (Places{0, 1, 2, 3}));
}

TEST(Placement, AsAskedForAndTheOthersRoundIt) {
    EXPECT_EQ(placed({{"a"}, {"b", 1, 2U}, {"c", -1, 2U}}), (Places{1, 0, 0}));
}

TEST(Placement, AnLcoreThatIsNoWorker) {
    const std::array<Job, 2> jobs = {{{"a"}, {"b", -1, 1U}}};
    const auto places = assign_workers(jobs, kTwoNodes);
    ASSERT_FALSE(places);
    EXPECT_NE(places.error().what.find("lcore 1 is not a worker"), std::string::npos);
}

TEST(Placement, ForPeople) {
    const std::array<Job, 3> jobs = {{{"vd0, net_tap0"}, {"vd1"}, {"vd2"}}};
    constexpr std::array<WorkerSlot, 3> kSlots = {{{1, 0}, {2, -1}, {3, 0}}};
    EXPECT_EQ(
        describe(jobs, kSlots, Places{0, 1, 0}),
        "lcore 1, node 0: vd0, net_tap0; vd2\n"
        "lcore 2: vd1\n"
        "lcore 3, node 0: nothing to do\n"
    );
}

}  // namespace
}  // namespace vduse::app
