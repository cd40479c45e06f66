// SPDX-License-Identifier: BSD-3-Clause

// PollOrder: lanes that are idle are polled less often, and none is forgotten.
#include "app/datapath/poll_order.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace vduse::app {
namespace {

/// A worker whose lanes have work to do or not.
struct Rounds {
    PollOrder order;
    std::vector<bool> busy;
    std::vector<unsigned> polls;

    explicit Rounds(size_t lanes) : order(lanes), busy(lanes), polls(lanes) {}

    /// The number of polls of these rounds.
    unsigned run(unsigned rounds) {
        unsigned all = 0;
        polls.assign(polls.size(), 0);
        for (; rounds != 0; --rounds)
            order.round([&](size_t lane) noexcept {
                ++all;
                ++polls[lane];
                return busy[lane];
            });
        return all;
    }
};

TEST(PollOrder, OneBusyLaneAmongManyIsPolledEachRound) {
    Rounds rounds(256);
    rounds.busy[100] = true;
    EXPECT_EQ(rounds.run(63), 63U * 256) << "at first all are polled";
    rounds.run(1);
    EXPECT_EQ(rounds.run(160), 160U * 17);
    EXPECT_EQ(rounds.polls[100], 160U);
    for (size_t lane = 0; lane < 256; ++lane)
        EXPECT_GE(rounds.polls[lane], 9U) << lane;
}

TEST(PollOrder, ALaneThatWakesUpIsActiveAtOnce) {
    Rounds rounds(64);
    rounds.run(100);
    rounds.busy[63] = true;
    rounds.run(16);
    EXPECT_GE(rounds.polls[63], 1U);
    rounds.run(10);
    EXPECT_EQ(rounds.polls[63], 10U);
    rounds.busy[63] = false;
    rounds.run(63);
    EXPECT_EQ(rounds.polls[63], 63U) << "a pause does not make it rest";
    rounds.busy[63] = true;
    rounds.run(1);
    EXPECT_EQ(rounds.polls[63], 1U);
    rounds.busy[63] = false;
    rounds.run(63);
    EXPECT_EQ(rounds.polls[63], 63U) << "each pause is counted anew";
    rounds.run(1);
    rounds.run(16);
    EXPECT_LT(rounds.polls[63], 16U) << "a longer one does";
}

TEST(PollOrder, ALaneThatWakesUpOnceMayPauseAgain) {
    Rounds rounds(64);
    rounds.run(100);
    rounds.busy[63] = true;
    while (rounds.run(1) != 0 && rounds.polls[63] == 0)
        ;
    rounds.busy[63] = false;
    rounds.run(63);
    EXPECT_EQ(rounds.polls[63], 63U);
}

TEST(PollOrder, FewLanesAreAllPolledInEachBusyRound) {
    Rounds rounds(5);
    rounds.busy[2] = true;
    rounds.run(100);
    EXPECT_EQ(rounds.run(10), 50U);
}

TEST(PollOrder, AnIdleWorkerPollsEachLaneAsOften) {
    Rounds rounds(33);
    rounds.run(100);
    EXPECT_EQ(rounds.run(110), 110U * 3);
    for (const unsigned polls : rounds.polls)
        EXPECT_EQ(polls, 10U);
}

TEST(PollOrder, NoLaneIsForgotten) {
    std::mt19937 random(1);
    Rounds rounds(40);
    for (int step = 0; step < 2000; ++step) {
        rounds.busy[random() % 40] = random() % 2 == 0;
        rounds.run(static_cast<unsigned>(random() % 80));
        const auto idle = static_cast<size_t>(std::ranges::count(rounds.busy, false));
        rounds.run(2 * 16);
        for (size_t lane = 0; lane < 40; ++lane)
            ASSERT_GE(rounds.polls[lane], rounds.busy[lane] ? 16U : 1U) << idle << " are idle";
    }
}

TEST(PollOrder, NoLanes) {
    Rounds rounds(0);
    EXPECT_EQ(rounds.run(10), 0U);
}

}  // namespace
}  // namespace vduse::app
