// SPDX-License-Identifier: BSD-3-Clause

// Unfinished frames of a guest are decoded and completed. The results must equal those of scapy
// (golden/offloads.pcap, made by offload_golden.py).
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "net/offload.h"
#include "support/eal.h"
#include "vduse/offload.h"

namespace vduse::test {
namespace {

using Bytes = std::vector<uint8_t>;

/// The header of a record in a pcap file, in the writer's byte order.
struct RecordHeader {
    uint32_t seconds;
    uint32_t fraction;
    uint32_t bytes;
    uint32_t bytes_before;
};

constexpr size_t kFileHeader = 24;
constexpr size_t kNetHeader = 12;

/// What a guest sends, header first, and the expected frames.
struct Case {
    Bytes sent;
    std::vector<Bytes> finished;
};

std::vector<Case> read_cases() {
    std::ifstream file(VDUSE_GOLDEN_OFFLOADS, std::ios::binary);
    const Bytes all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<Case> cases;
    for (size_t at = kFileHeader; at + sizeof(RecordHeader) <= all.size();) {
        RecordHeader header;
        std::memcpy(&header, all.data() + at, sizeof header);
        at += sizeof header;
        const auto begin = all.begin() + static_cast<ptrdiff_t>(at);
        const Bytes bytes(begin, begin + static_cast<ptrdiff_t>(header.bytes));
        at += header.bytes;
        if (header.seconds == cases.size())
            cases.push_back({bytes, {}});
        else
            cases.back().finished.push_back(bytes);
    }
    return cases;
}

/// Completes a frame for a receiver without offloads.
std::vector<Bytes> finish(rte_mbuf* mbuf) {
    Completion completion;
    std::vector<Bytes> made;
    EXPECT_EQ(completion.begin(mbuf, Offloads()), std::nullopt);
    while (completion.busy()) {
        std::array<rte_mbuf*, 4> some{};
        const uint16_t count = completion.next(some);
        EXPECT_NE(count, 0);
        for (uint16_t i = 0; i < count; ++i) {
            made.push_back(content(some[i]));
            rte_pktmbuf_free(some[i]);
        }
    }
    return made;
}

TEST(OffloadGolden, AsScapyComputes) {
    Pool pool{2048};
    const auto cases = read_cases();
    ASSERT_EQ(cases.size(), 48U);
    size_t large = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
        net::NetHeader header;
        ASSERT_GT(cases[i].sent.size(), kNetHeader);
        std::memcpy(&header, cases[i].sent.data(), kNetHeader);
        const Bytes frame(cases[i].sent.begin() + kNetHeader, cases[i].sent.end());
        large += header.gso_type != net::kGsoNone ? 1 : 0;
        for (const size_t run : {size_t{Pool::kRoom}, size_t{100}, size_t{33}}) {
            rte_mbuf* const mbuf = pool.frame(frame, run);
            ASSERT_NE(mbuf, nullptr);
            net::Decoded decoded;
            ASSERT_EQ(net::decode(header, {true, true, true, true}, *mbuf, decoded), std::nullopt)
                << i;
            EXPECT_TRUE(decoded.csum) << i;
            EXPECT_EQ(finish(mbuf), cases[i].finished) << i << " in runs of " << run;
        }
    }
    EXPECT_GT(large, 10U);
}

}  // namespace
}  // namespace vduse::test
