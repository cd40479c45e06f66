// SPDX-License-Identifier: BSD-3-Clause

// sched/gate.h with real threads.
#include "sched/gate.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace vduse::test {
namespace {

using sched::Entered;
using sched::Gate;
using std::chrono::milliseconds;

bool close(Gate& gate, milliseconds limit = std::chrono::seconds(5)) {
    Gate* const gates[] = {&gate};
    return Gate::close(gates, limit);
}

class GateTest : public testing::Test {
  protected:
    GateTest() { EXPECT_TRUE(Gate::prepare()); }
    Gate gate;
};

TEST_F(GateTest, StartsClosedAndIdle) {
    EXPECT_FALSE(gate.is_open());
    EXPECT_TRUE(gate.idle());
    EXPECT_FALSE(gate.enter());
    EXPECT_TRUE(gate.idle()) << "who finds it closed is not inside";
}

TEST_F(GateTest, OpensAndCloses) {
    gate.open();
    EXPECT_TRUE(gate.enter());
    EXPECT_FALSE(gate.idle());
    gate.leave();
    EXPECT_TRUE(gate.idle());
    EXPECT_TRUE(close(gate));
    EXPECT_FALSE(gate.enter());
    EXPECT_TRUE(close(gate)) << "twice";
    gate.open();
    EXPECT_TRUE(gate.enter());
    gate.leave();
}

TEST_F(GateTest, EnteredLeavesAtTheEndOfItsScope) {
    {
        const Entered closed(gate);
        EXPECT_FALSE(closed);
    }
    EXPECT_TRUE(gate.idle());
    gate.open();
    {
        const Entered open(gate);
        EXPECT_TRUE(open);
        EXPECT_FALSE(gate.idle());
    }
    EXPECT_TRUE(gate.idle());
}

TEST_F(GateTest, NoGatesNeedNoWaiting) {
    EXPECT_TRUE(Gate::close({}));
}

// A data thread does not leave: control gives up after the timeout, and the gate stays closed.
TEST_F(GateTest, TimesOut) {
    gate.open();
    ASSERT_TRUE(gate.enter());
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(close(gate, milliseconds(20)));
    EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(20));
    EXPECT_FALSE(gate.is_open());
    EXPECT_FALSE(gate.idle());
    gate.leave();
    EXPECT_TRUE(gate.idle());
    EXPECT_FALSE(gate.enter());
    EXPECT_TRUE(close(gate));
}

TEST_F(GateTest, CloseWaitsForTheThreadInside) {
    gate.open();
    std::atomic<bool> inside = false;
    std::atomic<bool> done = false;
    std::thread worker([&] {
        const Entered entered(gate);
        inside = true;
        std::this_thread::sleep_for(milliseconds(50));
        done = true;
    });
    while (!inside)
        std::this_thread::yield();
    EXPECT_TRUE(close(gate));
    EXPECT_TRUE(done);
    worker.join();
}

// Control changes plain memory while the gates are closed. Data threads that enter later see all of
// a change or nothing of it. ThreadSanitizer checks the same property.
TEST_F(GateTest, DataThreadsSeeWhatControlWroteWhileClosed) {
    struct Guarded {
        Gate gate;
        uint64_t first = 0;
        uint64_t second = 0;
    };
    std::array<Guarded, 2> guarded;
    std::array<Gate*, 2> gates = {&guarded[0].gate, &guarded[1].gate};
    std::atomic<bool> stop = false;
    std::atomic<uint64_t> torn = 0;
    std::array<std::atomic<uint64_t>, 2> entered{};
    std::vector<std::thread> workers;
    for (size_t i = 0; i < guarded.size(); ++i)
        workers.emplace_back([&, i] {
            while (!stop) {
                {
                    const Entered in(guarded[i].gate);
                    if (in) {
                        entered[i].fetch_add(1, std::memory_order_relaxed);
                        if (guarded[i].first != guarded[i].second)
                            ++torn;
                    }
                }
                std::this_thread::yield();
            }
        });
    for (uint64_t round = 1; round <= 2000; ++round) {
        ASSERT_TRUE(Gate::close(gates));
        for (Guarded& g : guarded) {
            g.first = round;
            std::this_thread::yield();
            g.second = round;
            g.gate.open();
        }
    }
    // Both must have been inside; otherwise nothing is tested.
    while (entered[0] == 0 || entered[1] == 0)
        std::this_thread::yield();
    stop = true;
    for (std::thread& worker : workers)
        worker.join();
    EXPECT_EQ(torn, 0U);
}

// A data thread that never enters does not hold up control.
TEST_F(GateTest, NobodyHasToCome) {
    gate.open();
    for (int i = 0; i < 1000; ++i) {
        EXPECT_TRUE(close(gate, milliseconds(0)));
        gate.open();
    }
}

}  // namespace
}  // namespace vduse::test
