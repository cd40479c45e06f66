// SPDX-License-Identifier: BSD-3-Clause

// vduse/steering.h: which queue takes the frames of a sender.
#include "vduse/steering.h"

#include <gtest/gtest.h>

#include <atomic>
#include <initializer_list>

namespace vduse::test {
namespace {

TEST(Steering, NobodyTakesAnything) {
    for (const Steering none : {Steering(), Steering(0)}) {
        EXPECT_EQ(none.queues(), 0);
        for (const uint16_t sender : std::initializer_list<uint16_t>{0, 1, 127, 65535})
            EXPECT_EQ(none.queue_for(sender), std::nullopt);
    }
}

TEST(Steering, SendersAreDealtOut) {
    const Steering three(3);
    EXPECT_EQ(three.queues(), 3);
    for (uint16_t sender = 0; sender < 9; ++sender)
        EXPECT_EQ(three.queue_for(sender), sender % 3);
}

// The multiplication is exact for every sender and all numbers of pairs, and for some larger ones.
TEST(Steering, IsTheRemainder) {
    const auto check = [](unsigned queues) {
        const Steering steering(static_cast<uint16_t>(queues));
        for (unsigned sender = 0; sender <= 65535; ++sender)
            if (steering.queue_for(static_cast<uint16_t>(sender)) != sender % queues)
                return false;
        return true;
    };
    for (unsigned queues = 1; queues <= 128; ++queues)
        EXPECT_TRUE(check(queues)) << queues;
    for (const unsigned queues : {129U, 255U, 1000U, 32767U, 32768U, 65534U, 65535U})
        EXPECT_TRUE(check(queues)) << queues;
}

// Control writes it while data threads read it.
static_assert(std::atomic<Steering>::is_always_lock_free);

}  // namespace
}  // namespace vduse::test
