// SPDX-License-Identifier: BSD-3-Clause

// ring/notify.h: the event index compared with its definition, for all 8-bit values.
#include "ring/notify.h"

#include <gtest/gtest.h>

#include <bitset>
#include <cstdint>

namespace vduse::test {
namespace {

TEST(EventPassed, AgreesWithTheDefinitionForAll8BitIndices) {
    unsigned wrong = 0;
    for (unsigned before = 0; before < 256; ++before) {
        for (unsigned after = 0; after < 256; ++after) {
            // The definition: the event is one of the indices that were passed.
            std::bitset<256> passed;
            for (auto at = static_cast<uint8_t>(before); at != after; ++at)
                passed.set(at);
            for (unsigned event = 0; event < 256; ++event)
                wrong += ring::event_passed(
                             static_cast<uint8_t>(event),
                             static_cast<uint8_t>(after),
                             static_cast<uint8_t>(before)
                         ) != passed.test(event);
        }
    }
    EXPECT_EQ(wrong, 0U);
}

TEST(EventPassed, SixteenBitsAcrossTheWrap) {
    using ring::event_passed;
    EXPECT_TRUE(event_passed<uint16_t>(65535, 0, 65535));
    EXPECT_TRUE(event_passed<uint16_t>(0, 1, 65535));
    EXPECT_FALSE(event_passed<uint16_t>(1, 1, 65535)) << "index 1 itself is not used yet";
    EXPECT_FALSE(event_passed<uint16_t>(65534, 0, 65535));
    EXPECT_FALSE(event_passed<uint16_t>(7, 7, 7)) << "nothing happened";
}

}  // namespace
}  // namespace vduse::test
