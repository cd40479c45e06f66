// SPDX-License-Identifier: BSD-3-Clause

// Sharing a worker's time between expensive and cheap lanes.
#include "app/datapath/fair_share.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace vduse::app {
namespace {

constexpr uint64_t kSlice = 100;
constexpr uint64_t kLimit = 5000;

/// A worker with a simulated clock: a burst of lane i takes `costs[i]`, or 0 if there is no work.
struct Worker {
    explicit Worker(std::vector<uint64_t> costs_of_lanes)
        : costs(std::move(costs_of_lanes)),
          fair_share(costs.size(), kSlice, kLimit),
          spent(costs.size()),
          bursts(costs.size()) {}

    void run(uint64_t until) {
        while (now < until) {
            bool busy = false;
            const bool timed = fair_share.timed();
            for (size_t i = 0; i < costs.size(); ++i) {
                if (timed && fair_share.sits_out(i))
                    continue;
                now += 1 + costs[i];
                spent[i] += costs[i];
                ++bursts[i];
                busy = busy || costs[i] != 0;
                if (timed)
                    fair_share.ran(i, 1 + costs[i]);
            }
            ++now;
            fair_share.round_ended(now, busy);
        }
    }
    [[nodiscard]] double share(size_t lane) const {
        return static_cast<double>(spent[lane]) / static_cast<double>(now);
    }

    std::vector<uint64_t> costs;
    FairShare fair_share;
    std::vector<uint64_t> spent;
    std::vector<unsigned> bursts;
    uint64_t now = 0;
};

TEST(FairShare, ShortBurstsTakeTurns) {
    Worker worker({20, 30, 0});
    worker.run(100'000);
    EXPECT_EQ(worker.bursts[0], worker.bursts[1]);
    EXPECT_EQ(worker.bursts[0], worker.bursts[2]);
    EXPECT_FALSE(worker.fair_share.timed()) << "nobody looked at the clock more than once a round";
}

TEST(FairShare, OneLongLaneLeavesHalfToTheOthers) {
    for (const uint64_t cost : {200U, 1000U, 4000U}) {
        Worker worker({20, cost});
        worker.run(1'000'000);
        EXPECT_GT(worker.share(0), 0.4) << cost;
        EXPECT_GT(worker.share(1), 0.4) << cost << ": and is not starved itself";
    }
}

TEST(FairShare, LongLanesShareByTime) {
    Worker worker({400, 4000});
    worker.run(10'000'000);
    EXPECT_GT(worker.share(0), 0.3);
    EXPECT_GT(worker.share(1), 0.3);
}

TEST(FairShare, WhoIsAloneHasAll) {
    Worker worker({0, 1000, 0});
    worker.run(1'000'000);
    EXPECT_GT(worker.share(1), 0.95);
}

// The worker is preempted in the middle of a burst.
TEST(FairShare, ADeficitHasALimit) {
    Worker worker({20, 1000});
    worker.run(10'000);
    worker.costs[1] = 1'000'000;
    worker.run(worker.now + 10'000);  // the long burst runs once, or not yet
    worker.run(worker.now + 10'000);
    worker.costs[1] = 30;
    const unsigned before = worker.bursts[1];
    const uint64_t then = worker.now;
    while (worker.bursts[1] == before)
        worker.run(worker.now + 1);
    EXPECT_LT(worker.now - then, 2 * kLimit);
}

TEST(FairShare, ShortAgainMeansTurnsAgain) {
    Worker worker({20, 1000});
    worker.run(100'000);
    EXPECT_TRUE(worker.fair_share.timed());
    worker.costs[1] = 30;
    worker.run(worker.now + 10'000);
    EXPECT_FALSE(worker.fair_share.timed());
    const std::vector<unsigned> before = worker.bursts;
    worker.run(worker.now + 10'000);
    EXPECT_EQ(worker.bursts[0] - before[0], worker.bursts[1] - before[1]);
}

}  // namespace
}  // namespace vduse::app
