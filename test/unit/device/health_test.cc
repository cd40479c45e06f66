// SPDX-License-Identifier: BSD-3-Clause

// When a device is considered to carry no traffic, and what is logged then (lib/device/health.h).
#include "device/health.h"

#include <gtest/gtest.h>

namespace vduse::device {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

class HealthTest : public testing::Test {
  protected:
    Health health;
    Health::Clock::time_point now = Health::Clock::now();
    std::vector<PairSample> pairs = {{0, 0, 1, 64}};

    /// Polls one second later. Returns the lines to log.
    Lines look() {
        now += 1s;
        EXPECT_TRUE(health.due(now));
        auto lines = health.poll(now, pairs);
        EXPECT_FALSE(health.due(now));
        return lines;
    }
    /// The driver has sent a frame since the first poll.
    void begin() {
        EXPECT_EQ(look(), Lines());
        ++pairs[0].sent;
        EXPECT_EQ(look(), Lines());
        EXPECT_EQ(health.problems(), Lines());
    }
    [[nodiscard]] bool has(const std::string& text) const {
        for (const auto& problem : health.problems())
            if (problem.find(text) != std::string::npos)
                return true;
        return false;
    }
};

TEST_F(HealthTest, FramesThatFindNoBufferAreSaidAtOnceAndOnce) {
    begin();
    pairs[0].offered = 0;
    pairs[0].refused = 5;
    const Lines lines = look();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(lines[0].starts_with("pair 0: frames for the driver find no receive buffers; "));
    EXPECT_EQ(health.problems(), Lines{"pair 0: frames for the driver find no receive buffers"});
    ++pairs[0].refused;
    EXPECT_EQ(look(), Lines()) << "once a minute is enough";
    EXPECT_TRUE(has("find no receive buffers"));
    for (int i = 0; i < 58; ++i) {
        ++pairs[0].refused;
        EXPECT_EQ(look(), Lines());
    }
    ++pairs[0].refused;
    EXPECT_EQ(look().size(), 1U);
}

TEST_F(HealthTest, AFullRingOfABusyDeviceIsNoProblem) {
    begin();
    for (int i = 0; i < 20; ++i) {
        pairs[0].refused += 1000;
        ++pairs[0].placed;
        pairs[0].offered = 0;
        EXPECT_EQ(look(), Lines());
        EXPECT_EQ(health.problems(), Lines());
    }
}

TEST_F(HealthTest, NoReceiveBuffersTakeTenSecondsToBeSaid) {
    pairs.push_back({0, 0, 0, 64});
    pairs.push_back({0, 0, 0, 0});
    pairs[0].offered = 0;
    EXPECT_EQ(look(), Lines());
    ++pairs[0].sent;
    for (int i = 1; i < 10; ++i) {
        EXPECT_EQ(look(), Lines());
        EXPECT_EQ(
            health.problems(), Lines{"pair 0 and 1 others: the driver offers no receive buffers"}
        );
    }
    EXPECT_EQ(look().size(), 1U);
    EXPECT_EQ(look(), Lines());
    pairs[0].offered = pairs[2].offered = 64;
    EXPECT_EQ(look(), Lines());
    EXPECT_EQ(health.problems(), Lines());
}

// A netdev without bounce memory offers buffers and sends nothing. This one offers none: its
// interface is down, so it has nothing to send.
TEST_F(HealthTest, NothingSentIsNoProblemOfADriverThatIsNotUp) {
    pairs[0].offered = 0;
    for (int i = 0; i < 30; ++i) {
        look();
        EXPECT_FALSE(has("sent nothing"));
    }
}

TEST_F(HealthTest, NothingSentIsSaidWithItsUsualCause) {
    for (int i = 0; i < 11; ++i)
        EXPECT_EQ(look(), Lines());
    EXPECT_EQ(health.problems(), Lines{"the driver has sent nothing since it is ready"});
    const Lines lines = look();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_NE(lines[0].find("bounce="), std::string::npos);
    ++pairs[0].sent;
    EXPECT_EQ(look(), Lines());
    EXPECT_EQ(health.problems(), Lines());
    health.restart();
    EXPECT_EQ(look(), Lines());
    EXPECT_EQ(health.problems(), Lines()) << "another driver, another beginning";
}

}  // namespace
}  // namespace vduse::device
