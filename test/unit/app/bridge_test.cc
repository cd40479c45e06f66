// SPDX-License-Identifier: BSD-3-Clause

// Bridge and MacTable: forwarding, learning and ageing of addresses, and ownership of copies.
#include "app/datapath/bridge.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "support/eal.h"
#include "vduse/mac.h"

namespace vduse::app {
namespace {

using test::content;
using test::pattern;
using test::Pool;

constexpr uint64_t kLifetime = 1000;
constexpr MacAddress kA = {2, 0, 0, 0, 0, 0xa};
constexpr MacAddress kB = {2, 0, 0, 0, 0, 0xb};
constexpr MacAddress kC = {2, 0, 0, 0, 0, 0xc};
constexpr MacAddress kPort0 = {2, 0, 0, 0, 1, 0};    ///< port 0's own address
constexpr MacAddress kDevice1 = {2, 0, 0, 0, 1, 1};  ///< configured address of device 1
constexpr MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr MacAddress kMulticast = {1, 0, 0x5e, 0, 0, 1};

std::string unique_name() {
    static int number = 0;
    return "table" + std::to_string(number++);
}

MacAddress numbered(uint32_t number) {
    MacAddress mac = {2};
    for (size_t i = 2; i < mac.size(); ++i)
        mac[i] = static_cast<uint8_t>(number >> 8 * (i - 2));
    return mac;
}

std::unique_ptr<MacTable> make_table(uint32_t capacity, size_t members) {
    auto made = MacTable::create(unique_name(), capacity, members, kLifetime);
    EXPECT_TRUE(made);
    return std::move(*made);
}

/// Sweeps the whole table.
void sweep_all(MacTable& table, uint32_t capacity, uint64_t now) {
    for (uint32_t i = 0; i <= capacity / MacTable::kSweep; ++i)
        table.sweep(now);
}

TEST(MacTable, LearnsAndFinds) {
    const auto table = make_table(64, 2);
    EXPECT_FALSE(table->find(kA, 0));
    EXPECT_EQ(table->learn(kA, 1, 0), Learned::added);
    EXPECT_EQ(table->learn(kA, 1, 5), Learned::known);
    EXPECT_EQ(table->find(kA, 5), 1U);
    EXPECT_FALSE(table->find(kB, 5));
    EXPECT_EQ(table->size(), 1U);
}

TEST(MacTable, AnAddressThatMovesIsFoundOnItsNewMember) {
    const auto table = make_table(64, 3);
    table->learn(kA, 0, 0);
    EXPECT_EQ(table->learn(kA, 2, 1), Learned::moved);
    EXPECT_EQ(table->find(kA, 1), 2U);
    EXPECT_EQ(table->size(), 1U);
}

TEST(MacTable, OnlyWhatIsKnownToBeThereIsRefreshed) {
    const auto table = make_table(64, 2);
    EXPECT_FALSE(table->refresh(kA, 0, 0));
    EXPECT_EQ(table->size(), 0U);
    table->learn(kA, 0, 0);
    EXPECT_FALSE(table->refresh(kA, 1, 5));
    EXPECT_EQ(table->find(kA, 5), 0U);
    EXPECT_TRUE(table->refresh(kA, 0, kLifetime));
    EXPECT_EQ(table->find(kA, 2 * kLifetime), 0U);
    EXPECT_FALSE(table->refresh(kA, 0, 2 * kLifetime + 1)) << "it is a new one";
    EXPECT_FALSE(table->find(kA, 2 * kLifetime + 1));
}

TEST(MacTable, MulticastAndZeroAreNeverLearned) {
    const auto table = make_table(64, 2);
    for (const MacAddress& mac : {kBroadcast, kMulticast, MacAddress{}}) {
        EXPECT_EQ(table->learn(mac, 0, 0), Learned::no_source);
        EXPECT_FALSE(table->find(mac, 0));
    }
    EXPECT_EQ(table->size(), 0U);
}

TEST(MacTable, SilentAddressesAreUnknownAtOnceAndSweptLater) {
    constexpr uint32_t kEntries = 256;
    const auto table = make_table(kEntries, 2);
    table->learn(kA, 0, 0);
    table->learn(kB, 1, 0);
    table->learn(kB, 1, 500);  // seen again
    EXPECT_EQ(table->find(kA, kLifetime), 0U);
    EXPECT_FALSE(table->find(kA, kLifetime + 1));
    EXPECT_EQ(table->size(), 2U);
    sweep_all(*table, kEntries, kLifetime + 1);
    EXPECT_EQ(table->size(), 1U);
    EXPECT_EQ(table->find(kB, kLifetime + 1), 1U);
    EXPECT_EQ(table->learn(kA, 1, kLifetime + 2), Learned::added);
    EXPECT_EQ(table->find(kA, kLifetime + 2), 1U);
}

TEST(MacTable, AnOldAddressElsewhereHasNotMovedButIsNew) {
    const auto table = make_table(64, 2);
    table->learn(kA, 0, 0);
    EXPECT_EQ(table->learn(kA, 1, kLifetime + 1), Learned::added);
    EXPECT_EQ(table->find(kA, kLifetime + 1), 1U);
}

TEST(MacTable, AMemberFillsItsShareAndNoMore) {
    constexpr uint32_t kEntries = 256;
    const auto table = make_table(kEntries, 2);
    uint32_t added = 0;
    for (uint32_t i = 0; i < 2 * kEntries; ++i)
        added += table->learn(numbered(i), 0, 0) == Learned::added ? 1 : 0;
    EXPECT_EQ(added, kEntries / 2);
    EXPECT_EQ(table->learn(kC, 0, 0), Learned::full);
    EXPECT_FALSE(table->find(kC, 0));
    EXPECT_EQ(table->learn(kC, 1, 0), Learned::added);  // the other member has room

    sweep_all(*table, kEntries, kLifetime + 1);
    EXPECT_EQ(table->size(), 0U);
    EXPECT_EQ(table->learn(kB, 0, kLifetime + 1), Learned::added);
}

TEST(MacTable, RoomIsKeptTrackOfWhenAddressesMove) {
    const auto table = make_table(64, 2);
    for (uint32_t i = 0; i < 32; ++i)
        table->learn(numbered(i), 0, 0);
    ASSERT_EQ(table->learn(numbered(32), 0, 0), Learned::full);
    table->learn(numbered(0), 1, 0);
    EXPECT_EQ(table->learn(numbered(32), 0, 0), Learned::added);
}

// Members 0 and 2 are ports, 1 and 3 are devices. Port 2 has the smaller MTU.
constexpr uint32_t kLongest = 9022;
constexpr uint32_t kShorter = 1522;

class BridgeTest : public testing::Test {
  protected:
    Pool pool{64};
    Pool copies{64};
    std::unique_ptr<Bridge> bridge;
    uint64_t now = 0;
    std::array<std::vector<rte_mbuf*>, 4> sent;

    /// The current own address of each member.
    std::array<std::optional<MacAddress>, 4> own = {kPort0};

    BridgeTest() {
        std::array<BridgeMember, 4> members = {
            {{false, kLongest}, {true, 0}, {false, kShorter}, {true, 0}}};
        for (size_t i = 0; i < members.size(); ++i)
            members[i].mac = [this, i] { return own[i]; };
        members[0].given_mac = kPort0;
        members[1].given_mac = kDevice1;
        auto made = Bridge::create(unique_name(), members, kLifetime);
        EXPECT_TRUE(made);
        bridge = std::move(*made);
    }
    ~BridgeTest() override { free_sent(); }

    void free_sent() {
        for (auto& frames : sent) {
            rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
            frames.clear();
        }
    }
    static MacAddress link_local_address(uint8_t last) { return {0x01, 0x80, 0xc2, 0, 0, last}; }
    /// The bytes of a frame. Sets the EtherType unless `type` is 0.
    static std::vector<uint8_t> bytes(
        const MacAddress& to, const MacAddress& from, size_t length = 60, uint16_t type = 0
    ) {
        auto result = pattern(length);
        if (type != 0) {
            result[12] = static_cast<uint8_t>(type >> 8);
            result[13] = static_cast<uint8_t>(type);
        }
        std::ranges::copy(to, result.begin());
        std::ranges::copy(from, result.begin() + 6);
        return result;
    }
    /// Gives the bridge frames from `member`. Its outputs are in `sent` afterwards.
    void receive_all(unsigned member, const std::vector<rte_mbuf*>& frames) {
        free_sent();
        bridge->sort(member, frames, copies.get(), now);
        for (unsigned i = 0; i < sent.size(); ++i) {
            const auto output = bridge->output(i);
            sent[i].assign(output.begin(), output.end());
        }
    }
    /// Gives the bridge one frame. Returns the members that it goes to.
    std::vector<unsigned> receive(
        unsigned member,
        const MacAddress& to,
        const MacAddress& from,
        size_t length = 60,
        uint16_t type = 0
    ) {
        receive_all(member, {pool.frame(bytes(to, from, length, type))});
        std::vector<unsigned> members;
        for (unsigned i = 0; i < sent.size(); ++i)
            if (!sent[i].empty())
                members.push_back(i);
        return members;
    }
    using Members = std::vector<unsigned>;
};

TEST_F(BridgeTest, UnknownBroadcastAndMulticastGoEverywhereButBack) {
    EXPECT_EQ(receive(0, kB, kA), (Members{1, 2, 3}));
    EXPECT_EQ(receive(1, kBroadcast, kB), (Members{0, 2, 3}));
    EXPECT_EQ(receive(3, kMulticast, kC), (Members{0, 1, 2}));
    EXPECT_EQ(bridge->counters().flooded.read(), 3U);
    EXPECT_EQ(bridge->stations(), 3U);
}

TEST_F(BridgeTest, KnownAddressesGoToTheirMemberOnly) {
    receive(0, kBroadcast, kA);
    EXPECT_EQ(receive(3, kA, kB), (Members{0}));
    EXPECT_EQ(receive(0, kB, kA), (Members{3}));
    EXPECT_EQ(bridge->counters().flooded.read(), 1U);
}

TEST_F(BridgeTest, FramesForTheMemberThatTheyCameFromAreDropped) {
    receive(0, kBroadcast, kA);
    EXPECT_EQ(receive(0, kA, kB), (Members{}));
    EXPECT_EQ(bridge->counters().returned.read(), 1U);
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(BridgeTest, MovesAreFollowedAndCounted) {
    receive(0, kBroadcast, kA);
    receive(1, kBroadcast, kA);
    EXPECT_EQ(bridge->counters().moved.read(), 1U);
    EXPECT_EQ(receive(3, kA, kB), (Members{1}));
}

TEST_F(BridgeTest, SourcesThatNobodyHasAreDroppedAndCounted) {
    for (const MacAddress& source : {kMulticast, kBroadcast, MacAddress{}, MacAddress{1}}) {
        EXPECT_EQ(receive(0, kB, source), (Members{}));
        EXPECT_EQ(receive(1, kBroadcast, source), (Members{}));
    }
    EXPECT_EQ(bridge->counters().bad_source.read(), 8U);
    EXPECT_EQ(bridge->counters().flooded.read(), 0U);
    EXPECT_EQ(bridge->stations(), 0U);
    EXPECT_EQ(pool.in_use(), 0U);
}

// IEEE 802.1Q, table 8-1: PAUSE, LACP, OAM, 802.1X, LLDP and all others.
TEST_F(BridgeTest, LinkLocalAddressesAreNotPassedOn) {
    for (uint8_t last = 0x01; last <= 0x0f; ++last)
        EXPECT_EQ(receive(1, link_local_address(last), kB), (Members{})) << unsigned{last};
    EXPECT_EQ(bridge->counters().link_local.read(), 15U);
    EXPECT_EQ(bridge->counters().flooded.read(), 0U);
    EXPECT_EQ(bridge->stations(), 0U) << "nothing is learned from them";
    EXPECT_EQ(pool.in_use(), 0U);
    // Real LACP and LLDP frames.
    EXPECT_EQ(receive(1, link_local_address(0x02), kB, 124, 0x8809), (Members{}));
    EXPECT_EQ(receive(1, link_local_address(0x0e), kB, 60, 0x88cc), (Members{}));
    EXPECT_EQ(bridge->counters().link_local.read(), 17U);
}

TEST_F(BridgeTest, OtherGroupAddressesThatLookLikeThemAreFlooded) {
    EXPECT_EQ(receive(1, link_local_address(0x00), kB), (Members{0, 2, 3})) << "BPDU";
    EXPECT_EQ(receive(1, link_local_address(0x10), kB), (Members{0, 2, 3}));
    EXPECT_EQ(receive(1, link_local_address(0x20), kB), (Members{0, 2, 3})) << "GMRP";
    EXPECT_EQ(receive(1, {0x01, 0x80, 0xc2, 0, 1, 1}, kB), (Members{0, 2, 3}));
    EXPECT_EQ(receive(1, kMulticast, kB), (Members{0, 2, 3}));
    EXPECT_EQ(bridge->counters().link_local.read(), 0U);
    EXPECT_EQ(bridge->counters().flooded.read(), 5U);
}

TEST_F(BridgeTest, PauseIsNotPassedOnWhateverItsAddress) {
    constexpr uint16_t kMacControl = 0x8808;
    receive(0, kBroadcast, kA);
    for (const MacAddress& to : {link_local_address(0x01), kA, kC, kBroadcast})
        EXPECT_EQ(receive(3, to, kB, 60, kMacControl), (Members{}));
    EXPECT_EQ(bridge->counters().link_local.read(), 4U);
    EXPECT_EQ(receive(3, kA, kB, 60, 0x0800), (Members{0}));
}

TEST_F(BridgeTest, ANeighboursOwnAddressCannotBeDrawn) {
    own[3] = kC;
    EXPECT_EQ(receive(1, kBroadcast, kC), (Members{0, 2, 3})) << "it goes where it should";
    EXPECT_EQ(bridge->counters().not_own.read(), 1U);
    EXPECT_EQ(bridge->stations(), 0U);
    EXPECT_EQ(receive(0, kC, kA), (Members{1, 2, 3})) << "not to the one that pretended";
    receive(3, kBroadcast, kC);
    EXPECT_EQ(receive(1, kA, kC), (Members{0}));
    EXPECT_EQ(bridge->counters().not_own.read(), 2U);
    EXPECT_EQ(bridge->counters().moved.read(), 0U);
    EXPECT_EQ(receive(0, kC, kA), (Members{3}));
}

TEST_F(BridgeTest, AnOwnAddressThatAnotherHadBeforeComesBack) {
    receive(1, kBroadcast, kC);
    own[3] = kC;
    receive(3, kBroadcast, kC);
    EXPECT_EQ(bridge->counters().moved.read(), 1U);
    receive(1, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA), (Members{3}));
    // When it ages out, it is not given to another member either.
    now = kLifetime + 1;
    receive(1, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA), (Members{1, 2, 3}));
    EXPECT_EQ(bridge->counters().not_own.read(), 2U);
}

TEST_F(BridgeTest, WithoutADriverAnAddressIsAsAnyOther) {
    own[3] = kC;
    receive(3, kBroadcast, kC);
    own[3].reset();
    receive(1, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA), (Members{1}));
    EXPECT_EQ(bridge->counters().not_own.read(), 0U);
}

TEST_F(BridgeTest, MembersWithTheSameOwnAddressMayAllUseIt) {
    own[1] = kC;
    own[3] = kC;
    receive(1, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA), (Members{1}));
    receive(3, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA), (Members{3}));
    EXPECT_EQ(bridge->counters().moved.read(), 1U);
    EXPECT_EQ(bridge->counters().not_own.read(), 0U);
}

TEST_F(BridgeTest, APortsOwnAddressIsKeptFromAll) {
    receive(1, kBroadcast, kPort0);
    receive(2, kBroadcast, kPort0);
    EXPECT_EQ(bridge->counters().not_own.read(), 2U);
    EXPECT_EQ(receive(3, kPort0, kB), (Members{0, 1, 2}));
    receive(0, kBroadcast, kPort0);
    EXPECT_EQ(receive(3, kPort0, kB), (Members{0}));
}

// A loop behind a port may bring back a device's own frames.
TEST_F(BridgeTest, AnAddressThatADeviceWasGivenIsKeptFromPortsToo) {
    own[1] = kDevice1;
    receive(1, kBroadcast, kDevice1);
    EXPECT_EQ(receive(0, kBroadcast, kDevice1), (Members{1, 2, 3}));
    EXPECT_EQ(bridge->counters().not_own.read(), 1U);
    EXPECT_EQ(receive(3, kDevice1, kB), (Members{1}));
}

// A guest that takes the address of a router cannot keep it.
TEST_F(BridgeTest, WhatOnlyAGuestSaysIsItsOwnIsNotKeptFromPorts) {
    receive(0, kBroadcast, kA);
    own[1] = kA;
    receive(1, kBroadcast, kA);
    receive(0, kBroadcast, kA);
    EXPECT_EQ(receive(3, kA, kB), (Members{0}));
    EXPECT_EQ(bridge->counters().moved.read(), 2U);
}

TEST_F(BridgeTest, SilentAddressesAreFloodedToAgain) {
    receive(0, kBroadcast, kA);
    now = kLifetime + 1;
    EXPECT_EQ(receive(1, kA, kB), (Members{0, 2, 3}));
    for (uint32_t i = 0; i <= MacTable::kCapacity / MacTable::kSweep; ++i)
        bridge->sweep(now);
    EXPECT_EQ(bridge->stations(), 1U);
}

TEST_F(BridgeTest, SourcesWithoutRoomAreCounted) {
    constexpr uint32_t kShare = MacTable::kCapacity / 4;
    for (uint32_t i = 0; i < kShare; ++i)
        receive(1, kBroadcast, numbered(i));
    EXPECT_EQ(bridge->counters().not_learned.read(), 0U);
    receive(1, kBroadcast, numbered(kShare));
    EXPECT_EQ(bridge->counters().not_learned.read(), 1U);
    EXPECT_EQ(receive(0, numbered(kShare), kA), (Members{1, 2, 3}));
}

TEST_F(BridgeTest, EveryCopyHasTheContentAndPortsOwnTheirs) {
    const auto wanted = bytes(kB, kA, 700);
    receive_all(1, {pool.frame(wanted, 100)});  // in seven segments
    ASSERT_EQ(sent[0].size(), 1U);
    ASSERT_EQ(sent[2].size(), 1U);
    ASSERT_EQ(sent[3].size(), 1U);
    EXPECT_TRUE(sent[1].empty());
    for (const unsigned member : {0U, 2U, 3U})
        EXPECT_EQ(content(sent[member][0]), wanted) << member;
    // A PMD may write into the frames that it sends, so ports do not share mbufs.
    ASSERT_NE(sent[0][0], sent[2][0]);
    *rte_pktmbuf_mtod(sent[0][0], uint8_t*) ^= 0xff;
    EXPECT_EQ(content(sent[2][0]), wanted);
    // When the device has freed its frame, the ports are the only holders of theirs.
    rte_pktmbuf_free(sent[3][0]);
    sent[3].clear();
    for (const unsigned member : {0U, 2U})
        for (const rte_mbuf* part = sent[member][0]; part != nullptr; part = part->next)
            EXPECT_EQ(rte_mbuf_refcnt_read(part), 1);
}

TEST_F(BridgeTest, DevicesAreSentToBeforePorts) {
    const auto order = bridge->order();
    EXPECT_EQ(std::vector<unsigned>(order.begin(), order.end()), (Members{1, 3, 0, 2}));
}

TEST_F(BridgeTest, DevicesAloneShareOneMbuf) {
    const std::array<BridgeMember, 3> members = {{{true, 0}, {true, 0}, {true, 0}}};
    auto made = Bridge::create(unique_name(), members, kLifetime);
    ASSERT_TRUE(made);
    bridge = std::move(*made);
    free_sent();
    rte_mbuf* const frame = pool.frame(bytes(kBroadcast, kA));
    bridge->sort(0, std::array{frame}, copies.get(), now);
    ASSERT_EQ(bridge->output(1).size(), 1U);
    ASSERT_EQ(bridge->output(2).size(), 1U);
    EXPECT_EQ(rte_mbuf_refcnt_read(frame), 2);
    EXPECT_EQ(copies.in_use(), 0U);
    rte_pktmbuf_free(bridge->output(1)[0]);
    EXPECT_EQ(pool.in_use(), 1U);
    rte_pktmbuf_free(bridge->output(2)[0]);
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(BridgeTest, FramesThatAreTooLongForAPortAreDroppedThereAndCounted) {
    EXPECT_EQ(receive(1, kBroadcast, kB, kShorter), (Members{0, 2, 3}));
    EXPECT_EQ(receive(1, kBroadcast, kB, kShorter + 1), (Members{0, 3}));
    EXPECT_EQ(bridge->counters().too_long.read(), 1U);
    receive(2, kBroadcast, kC);
    EXPECT_EQ(receive(0, kC, kA, kShorter + 1), (Members{}));
    EXPECT_EQ(bridge->counters().too_long.read(), 2U);
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(BridgeTest, FramesWithoutAnEthernetHeaderAreDroppedAndCounted) {
    EXPECT_EQ(receive(0, kBroadcast, kA, 13), (Members{}));
    EXPECT_EQ(bridge->counters().too_short.read(), 1U);
    EXPECT_EQ(bridge->stations(), 0U);
    EXPECT_EQ(receive(0, kBroadcast, kA, 14), (Members{1, 2, 3}));
}

TEST_F(BridgeTest, AHeaderInSeveralSegmentsIsRead) {
    receive(3, kBroadcast, kB);
    receive_all(0, {pool.frame(bytes(kB, kA), 5)});
    EXPECT_EQ(sent[3].size(), 1U);
    EXPECT_TRUE(sent[1].empty());
}

TEST_F(BridgeTest, WithoutMbufsOneCopyIsLessAndCounted) {
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(copies.get()))
        taken.push_back(mbuf);
    EXPECT_EQ(receive(1, kBroadcast, kB), (Members{2, 3}));  // port 2 has the frame itself
    EXPECT_EQ(bridge->counters().no_mbuf.read(), 1U);
    rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
}

TEST_F(BridgeTest, ABurstKeepsItsOrderInEachOutput) {
    receive(3, kBroadcast, kB);
    std::vector<rte_mbuf*> burst;
    for (unsigned i = 0; i < Bridge::kBurst; ++i)
        burst.push_back(pool.frame(bytes(i % 2 == 0 ? kB : kBroadcast, kA, 60 + i)));
    receive_all(0, burst);
    ASSERT_EQ(sent[3].size(), Bridge::kBurst);
    ASSERT_EQ(sent[1].size(), Bridge::kBurst / 2U);
    for (unsigned i = 0; i < Bridge::kBurst; ++i)
        EXPECT_EQ(sent[3][i]->pkt_len, 60 + i);
}

}  // namespace
}  // namespace vduse::app
