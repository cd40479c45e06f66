// SPDX-License-Identifier: BSD-3-Clause

// net/layers.h: what the fast path finds is what DPDK's parser finds.
#include "net/layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <random>

#include "support/eal.h"
#include "support/frames.h"

namespace vduse::test {
namespace {

TEST(Layers, PlainFramesAreFoundAsByDpdk) {
    Pool pool(16);
    std::mt19937 random(1);
    const auto maybe = [&] { return random() % 2 == 0; };
    unsigned plain = 0;
    for (int round = 0; round < 100'000; ++round) {
        std::array<uint8_t, 120> frame;
        std::ranges::generate(frame, std::ref(random));
        // The fields that decide, mostly right.
        const std::array<uint16_t, 4> types = {0x0800, 0x86dd, 0x8100, 0x0806};
        const uint16_t type = types[maybe() ? random() % 2 : random() % types.size()];
        frame[12] = static_cast<uint8_t>(type >> 8);
        frame[13] = static_cast<uint8_t>(type);
        const bool four = type == 0x0800;
        const std::array<uint8_t, 4> versions = {0x45, 0x60, 0x46, 0x50};
        frame[14] = maybe() ? versions[four ? 0 : 1] : versions[random() % versions.size()];
        const uint8_t protocol = maybe() ? IPPROTO_TCP : maybe() ? IPPROTO_UDP : IPPROTO_GRE;
        if (four && maybe())
            frame[20] = frame[21] = 0;
        frame[four ? 23 : 20] = protocol;
        const auto bytes = static_cast<uint16_t>(random() % 4 == 0 ? random() % 120 : 120);
        rte_mbuf* const mbuf = pool.frame({frame.begin(), frame.begin() + bytes});
        rte_net_hdr_lens found{};
        if (const uint32_t mine = net::find_plain_layers(*mbuf, found); mine != RTE_PTYPE_UNKNOWN) {
            rte_net_hdr_lens lengths{};
            constexpr uint32_t kLayers = RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK;
            ASSERT_EQ(mine, rte_net_get_ptype(mbuf, &lengths, kLayers));
            ASSERT_EQ(found.l2_len, lengths.l2_len);
            ASSERT_EQ(found.l3_len, lengths.l3_len);
            ASSERT_EQ(found.l4_len, lengths.l4_len);
            ++plain;
        }
        rte_pktmbuf_free(mbuf);
    }
    EXPECT_GT(plain, 10'000U);
    EXPECT_LT(plain, 90'000U);
}

TEST(Layers, MostFramesArePlain) {
    Pool pool(1);
    for (const bool tcp : {false, true})
        for (const bool ipv4 : {false, true}) {
            const Frame frame = make_frame({.ipv4 = ipv4, .tcp = tcp});
            rte_mbuf* const mbuf = pool.frame(frame.bytes);
            rte_net_hdr_lens lengths{};
            EXPECT_NE(net::find_plain_layers(*mbuf, lengths), uint32_t{RTE_PTYPE_UNKNOWN});
            EXPECT_EQ(size_t{lengths.l2_len} + lengths.l3_len, frame.l4_at());
            rte_pktmbuf_free(mbuf);
        }
}

}  // namespace
}  // namespace vduse::test
