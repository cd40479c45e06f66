// SPDX-License-Identifier: BSD-3-Clause

// net/control_queue.h: valid and invalid commands of the control queue.
#include "net/control_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/fetch_ledger.h"
#include "support/ring_rig.h"
#include "vduse/limits.h"
#include "vduse/mac.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using namespace net;
using namespace virtio;
using memory::Iova;
using Bytes = std::vector<uint8_t>;

constexpr MacAddress kMac = {2, 0, 0, 0, 0, 1};
constexpr uint64_t kAllFeatures = kControlFeatures | kFeatureMac | kFeatureVersion1;
constexpr uint16_t kMaxPairs = 8;
constexpr uint8_t kUnanswered = 0xee;
constexpr uint8_t kOk = 0;
constexpr uint8_t kError = 1;

/// A command with its data.
Bytes command(uint8_t class_id, uint8_t number, const Bytes& data = {}) {
    Bytes bytes(2 + data.size());
    bytes[0] = class_id;
    bytes[1] = number;
    std::copy(data.begin(), data.end(), bytes.begin() + 2);
    return bytes;
}
Bytes le16(unsigned value) {
    return {static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8)};
}
Bytes le64(uint64_t value) {
    Bytes bytes;
    for (unsigned shift = 0; shift < 64; shift += 8)
        bytes.push_back(static_cast<uint8_t>(value >> shift));
    return bytes;
}
/// The data of MAC_TABLE_SET. For each table: the count that its header says, and the number of
/// addresses that it has.
Bytes tables(uint32_t says_1, size_t has_1, uint32_t says_2, size_t has_2) {
    Bytes bytes;
    for (const auto& [says, has] : {std::pair{says_1, has_1}, std::pair{says_2, has_2}}) {
        for (unsigned shift = 0; shift < 32; shift += 8)
            bytes.push_back(static_cast<uint8_t>(says >> shift));
        for (size_t i = 0; i < has; ++i)
            // In descending order, so that lookups fail if the table is not sorted.
            for (const size_t byte : {size_t{2}, size_t{0}, size_t{0}, size_t{0}, ~i >> 8, ~i})
                bytes.push_back(static_cast<uint8_t>(byte));
    }
    return bytes;
}
MacAddress table_entry(size_t i) {
    return {2, 0, 0, 0, static_cast<uint8_t>(~i >> 8), static_cast<uint8_t>(~i)};
}

class ControlTest : public testing::Test {
  protected:
    ControlTest() { control.reset(kAllFeatures, kMac); }

    /// Executes one command as the control thread does.
    bool execute(const Bytes& bytes) {
        auto proposed = control.propose(bytes);
        const bool ok = proposed && publish(*proposed);
        control.finish(ok ? std::move(proposed) : std::nullopt);
        return ok;
    }
    uint16_t serve(ring::SplitRing& ring) {
        ControlBurst burst(control, ring);
        while (const ControlState* proposed = burst.next())
            burst.finish(publish(*proposed));
        return burst.served();
    }
    bool publish(const ControlState& state) {
        if (accept) {
            ++published;
            last = state;
        }
        return accept;
    }

    unsigned published = 0;
    ControlState last;
    bool accept = true;
    ControlQueue control{kMaxPairs};
};

// ---- each command

TEST_F(ControlTest, ReceiveModes) {
    bool Filter::*const modes[] = {
        &Filter::promiscuous,
        &Filter::all_multicast,
        &Filter::all_unicast,
        &Filter::no_multicast,
        &Filter::no_unicast,
        &Filter::no_broadcast};
    for (uint8_t number = 0; number < 6; ++number) {
        EXPECT_TRUE(execute(command(0, number, {1})));
        EXPECT_TRUE(control.state().filter.*modes[number]);
        EXPECT_TRUE(last.filter.*modes[number]);
        EXPECT_TRUE(execute(command(0, number, {0})));
        EXPECT_FALSE(control.state().filter.*modes[number]);
        EXPECT_FALSE(execute(command(0, number, {2})));
        EXPECT_FALSE(execute(command(0, number, {})));
        EXPECT_FALSE(execute(command(0, number, {1, 0})));
        EXPECT_FALSE(control.state().filter.*modes[number]) << "an error changes nothing";
    }
}

TEST_F(ControlTest, MacAddress) {
    EXPECT_TRUE(execute(command(1, 1, {2, 1, 2, 3, 4, 5})));
    EXPECT_EQ(control.state().filter.mac, (MacAddress{2, 1, 2, 3, 4, 5}));
    EXPECT_FALSE(execute(command(1, 1, {2, 1, 2, 3, 4})));
    EXPECT_FALSE(execute(command(1, 1, {2, 1, 2, 3, 4, 5, 6})));
    control.reset(kAllFeatures, kMac);
    EXPECT_EQ(control.state().filter.mac, kMac) << "a reset brings the permanent address back";
}

TEST_F(ControlTest, MacTables) {
    EXPECT_TRUE(execute(command(1, 0, tables(3, 3, 2, 2))));
    const Filter& filter = control.state().filter;
    EXPECT_EQ(filter.unicast.addresses.size(), 3U);
    EXPECT_EQ(filter.multicast.addresses.size(), 2U);
    for (size_t i = 0; i < 3; ++i)
        EXPECT_TRUE(filter.unicast.contains(table_entry(i)));
    EXPECT_FALSE(filter.unicast.contains(table_entry(3)));
    EXPECT_TRUE(execute(command(1, 0, tables(0, 0, 0, 0)))) << "replaces both";
    EXPECT_TRUE(filter.unicast.addresses.empty());
    EXPECT_TRUE(filter.multicast.addresses.empty());
}

// Case 93: a table with more addresses than the limit matches all addresses.
TEST_F(ControlTest, Case93_MacTableTooLarge) {
    EXPECT_TRUE(execute(command(1, 0, tables(1024, 1024, 1, 1))));
    EXPECT_FALSE(control.state().filter.unicast.everything);
    EXPECT_TRUE(control.state().filter.unicast.contains(table_entry(1023)));
    EXPECT_FALSE(control.state().filter.unicast.contains(table_entry(1024)));
    EXPECT_TRUE(execute(command(1, 0, tables(1025, 1025, 1, 1))));
    EXPECT_TRUE(control.state().filter.unicast.everything);
    EXPECT_FALSE(control.state().filter.multicast.everything);
    EXPECT_TRUE(control.state().filter.unicast.contains(table_entry(5000)));
    EXPECT_TRUE(execute(command(1, 0, tables(1, 1, 5000, 5000))));
    EXPECT_FALSE(control.state().filter.unicast.everything);
    EXPECT_TRUE(control.state().filter.multicast.everything);
}

// Cases 91, 92: wrong counts.
TEST_F(ControlTest, Case91_92_MacTablesThatLie) {
    ASSERT_TRUE(execute(command(1, 0, tables(2, 2, 1, 1))));
    const ControlState before = control.state();
    for (const Bytes& data : {
             tables(0xffffffff, 2, 0, 0),
             tables(0xaaaaaaab, 2, 0, 0),  // times 6: 2^34 + 2
             tables(3, 2, 1, 1),           // takes the second table's header as an address
             tables(1, 3, 1, 1),
             tables(2, 2, 2, 1),
             tables(2, 2, 0, 1),
             tables(2, 2, 0xffffffff, 1),
         })
        EXPECT_FALSE(execute(command(1, 0, data)));
    Bytes no_second = tables(2, 2, 0, 0);
    for (int cut = 0; cut < 4; ++cut) {
        no_second.pop_back();
        EXPECT_FALSE(execute(command(1, 0, no_second)));
    }
    EXPECT_FALSE(execute(command(1, 0, {})));
    EXPECT_FALSE(execute(command(1, 0, {0, 0, 0})));
    EXPECT_EQ(control.state().filter.unicast.addresses, before.filter.unicast.addresses);
    EXPECT_EQ(control.state().filter.multicast.addresses, before.filter.multicast.addresses);
}

// Case 97. 4095 is a legal number here: QEMU's limit is 4096.
TEST_F(ControlTest, Case97_Vlans) {
    const auto& vlans = control.state().filter.vlans;
    for (const unsigned vlan : {0U, 1U, 4094U, 4095U}) {
        EXPECT_TRUE(execute(command(2, 0, le16(vlan))));
        EXPECT_TRUE(execute(command(2, 0, le16(vlan)))) << "twice";
        EXPECT_TRUE(vlans.test(vlan));
    }
    EXPECT_EQ(vlans.count(), 4U);
    for (const unsigned vlan : {4096U, 4097U, 65535U}) {
        EXPECT_FALSE(execute(command(2, 0, le16(vlan))));
        EXPECT_FALSE(execute(command(2, 1, le16(vlan))));
    }
    EXPECT_TRUE(execute(command(2, 1, le16(1))));
    EXPECT_TRUE(execute(command(2, 1, le16(1)))) << "absent";
    EXPECT_FALSE(vlans.test(1));
    EXPECT_FALSE(execute(command(2, 0, {1})));
    EXPECT_FALSE(execute(command(2, 0, {1, 0, 0})));
    EXPECT_EQ(vlans.count(), 3U);
}

// Case 95
TEST_F(ControlTest, Case95_QueuePairs) {
    EXPECT_EQ(control.state().active_pairs, 1);
    for (const uint16_t pairs : {uint16_t{2}, kMaxPairs, uint16_t{1}}) {
        EXPECT_TRUE(execute(command(4, 0, le16(pairs))));
        EXPECT_EQ(last.active_pairs, pairs);
    }
    for (const unsigned pairs : {0U, kMaxPairs + 1U, 0x8000U, 0xffffU}) {
        EXPECT_FALSE(execute(command(4, 0, le16(pairs))));
        EXPECT_EQ(control.state().active_pairs, 1);
    }
    EXPECT_FALSE(execute(command(4, 0, {1})));
    EXPECT_FALSE(execute(command(4, 0, {1, 0, 0})));
}

// The offloads in the command are on, all others are off, whatever was set before.
TEST_F(ControlTest, GuestOffloads) {
    const uint64_t all = kFeatureGuestCsum | kFeatureGuestTso4 | kFeatureGuestEcn;
    control.reset(kAllFeatures | all | kFeatureCsum | kFeatureHostTso4 | kFeatureHostTso6, kMac);
    EXPECT_EQ(control.state().offloads_off, 0U) << "those that were negotiated are on";
    for (const uint64_t on :
         {all, uint64_t{0}, kFeatureGuestCsum, kFeatureGuestCsum | kFeatureGuestTso4, all}) {
        EXPECT_TRUE(execute(command(5, 0, le64(on))));
        EXPECT_EQ(control.state().offloads_off, all & ~on);
        EXPECT_EQ(last.offloads_off, all & ~on);
    }
    EXPECT_TRUE(execute(command(5, 0, le64(kFeatureGuestCsum))));
    const uint64_t off = all & ~kFeatureGuestCsum;
    // Not negotiated, of the other direction, unknown, or not offloads.
    for (const uint64_t wrong :
         {kFeatureGuestTso6,
          all | kFeatureGuestTso6,
          kFeatureCsum,
          kFeatureHostTso4,
          kFeatureCtrlVq,
          all | kFeatureVersion1,
          bit(63),
          ~uint64_t{0}}) {
        EXPECT_FALSE(execute(command(5, 0, le64(wrong)))) << wrong;
        EXPECT_EQ(control.state().offloads_off, off) << "an error changes nothing";
    }
    for (const size_t bytes : {0U, 1U, 4U, 7U, 9U, 16U})
        EXPECT_FALSE(execute(command(5, 0, Bytes(bytes)))) << bytes;
    EXPECT_EQ(control.state().offloads_off, off);
    accept = false;
    EXPECT_FALSE(execute(command(5, 0, le64(all))));
    EXPECT_EQ(control.state().offloads_off, off);
    control.reset(kAllFeatures | all, kMac);
    EXPECT_EQ(control.state().offloads_off, 0U) << "a reset switches them on";
}

// Cases 83, 86
TEST_F(ControlTest, Case83_86_NoSuchCommand) {
    EXPECT_FALSE(execute({}));
    EXPECT_FALSE(execute({0}));
    const std::map<unsigned, unsigned> known = {{0, 6}, {1, 2}, {2, 2}, {4, 1}, {5, 1}};
    for (unsigned code = 0; code < 65536; ++code) {
        const auto class_id = static_cast<uint8_t>(code >> 8);
        const auto number = static_cast<uint8_t>(code);
        if (known.contains(class_id) && number < known.at(class_id))
            continue;
        for (const size_t bytes : {0U, 1U, 2U, 8U})
            EXPECT_FALSE(execute(command(class_id, number, Bytes(bytes))));
    }
    EXPECT_EQ(control.counters().commands, control.counters().refused);
}

TEST_F(ControlTest, FeaturesThatWereNotNegotiated) {
    const std::vector<std::pair<uint64_t, Bytes>> commands = {
        {kFeatureCtrlRx, command(0, 0, {1})},
        {kFeatureCtrlRx, command(0, 1, {1})},
        {kFeatureCtrlRxExtra, command(0, 2, {1})},
        {kFeatureCtrlRxExtra, command(0, 3, {1})},
        {kFeatureCtrlRxExtra, command(0, 4, {1})},
        {kFeatureCtrlRxExtra, command(0, 5, {1})},
        {kFeatureCtrlRx, command(1, 0, tables(0, 0, 0, 0))},
        {kFeatureCtrlMacAddr, command(1, 1, Bytes(6))},
        {kFeatureCtrlVlan, command(2, 0, le16(5))},
        {kFeatureCtrlVlan, command(2, 1, le16(5))},
        {kFeatureMq, command(4, 0, le16(1))},
        {kFeatureCtrlGuestOffloads, command(5, 0, le64(0))},
    };
    for (const auto& [feature, bytes] : commands) {
        control.reset(kFeatureCtrlVq | feature, kMac);
        EXPECT_TRUE(execute(bytes));
        control.reset(kAllFeatures & ~feature, kMac);
        EXPECT_FALSE(execute(bytes));
    }
}

TEST_F(ControlTest, ResetBringsDefaultsBack) {
    execute(command(0, 0, {0}));
    execute(command(0, 1, {1}));
    execute(command(1, 0, tables(1, 1, 1, 1)));
    execute(command(2, 0, le16(5)));
    execute(command(4, 0, le16(2)));
    control.reset(kAllFeatures, kMac);
    const ControlState& state = control.state();
    EXPECT_TRUE(state.filter.promiscuous);
    EXPECT_FALSE(state.filter.all_multicast);
    EXPECT_TRUE(state.filter.unicast.addresses.empty());
    EXPECT_TRUE(state.filter.vlans.none());
    EXPECT_TRUE(state.filter.vlan_filtering);
    EXPECT_EQ(state.active_pairs, 1);
    control.reset(kAllFeatures & ~kFeatureCtrlVlan, kMac);
    EXPECT_FALSE(control.state().filter.vlan_filtering);
}

TEST_F(ControlTest, WhatCannotBePublishedIsRefused) {
    accept = false;
    EXPECT_FALSE(execute(command(0, 0, {0})));
    EXPECT_TRUE(control.state().filter.promiscuous);
    EXPECT_EQ(control.counters().refused, 1U);
}

// ---- through the ring

class ControlRing : public ControlTest {
  protected:
    RingRig rig{{.size = 64}};
    FetchLedger ledger;

    static constexpr Iova kCommand = RingRig::kBuffers;
    static constexpr Iova kAck = RingRig::kBuffers + 0x80000;

    ControlRing() { std::memset(rig.memory.host(kAck), kUnanswered, 4096); }

    Iova put(const Bytes& bytes, Iova at = kCommand) {
        rig.memory.write(at, bytes.data(), bytes.size());
        return at;
    }
    void offer(std::initializer_list<Buffer> buffers) {
        ASSERT_TRUE(rig.driver.offer(buffers));
        rig.driver.publish();
    }
    void offer(const Bytes& bytes, Iova ack = kAck) {
        offer({{put(bytes), static_cast<uint32_t>(bytes.size()), false}, {ack, 1, true}});
    }
    uint16_t serve() {
        ledger.begin();
        const uint16_t count = ControlTest::serve(rig.ring);
        EXPECT_EQ(ledger.twice(), 0U);
        EXPECT_FALSE(ledger.touched(rig.memory.host(kAck), 4096));
        return count;
    }
    [[nodiscard]] uint8_t ack(Iova at = kAck) const { return rig.memory.load<uint8_t>(at); }
    /// Checks that the chain returned with `written` bytes and that the ack is `value`.
    void expect(uint8_t value, uint32_t written = 1) {
        const auto used = rig.driver.take_used();
        ASSERT_TRUE(used);
        EXPECT_EQ(used->len, written);
        EXPECT_EQ(ack(), value);
        rig.memory.store(kAck, kUnanswered);
    }
};

// Results of queries follow the ack, as far as there is room. Queries change nothing.
class StatsRing : public ControlRing {
  protected:
    static constexpr uint64_t kStatsFeatures =
        kFeatureCtrlVq | kFeatureDeviceStats | kFeatureVersion1;
    static constexpr Iova kResult = kAck + 1;

    StatsRing() {
        control = ControlQueue(kMaxPairs, [this](uint32_t /*queue*/) -> const QueueCounters& {
            return counters;
        });
        control.reset(kStatsFeatures, kMac);
    }
    /// Offers a command of class 8 with `data`, and `room` bytes after the ack.
    void ask(uint8_t number, const Bytes& data, uint32_t room) {
        const Bytes bytes = command(8, number, data);
        offer(
            {{put(bytes), static_cast<uint32_t>(bytes.size()), false},
             {kAck, 1, true},
             {kResult, room, true}}
        );
    }
    static Bytes entry(uint8_t queue, uint64_t types) {
        Bytes bytes = {queue, 0, 0, 0, 0, 0, 0, 0};
        const Bytes bits = le64(types);
        bytes.insert(bytes.end(), bits.begin(), bits.end());
        return bytes;
    }
    [[nodiscard]] uint64_t number_at(Iova at) const { return rig.memory.load<uint64_t>(at); }

    QueueCounters counters;
};

TEST_F(StatsRing, TheResultIsBehindTheAck) {
    ask(0, {}, 8);
    EXPECT_EQ(serve(), 1);
    EXPECT_EQ(number_at(kResult), bit(0) | bit(16) | bit(32));
    EXPECT_EQ(rig.memory.load<uint8_t>(kResult + 8), kUnanswered);
    expect(kOk, 9);
    counters.frames.add(7);
    ask(1, entry(1, bit(16)), 100);
    serve();
    EXPECT_EQ(number_at(kResult + 8 + 8), 7U);
    EXPECT_EQ(rig.memory.load<uint8_t>(kResult + 56), kUnanswered) << "no more than there is";
    expect(kOk, 1 + 56);
    EXPECT_EQ(published, 0U);
    EXPECT_EQ(control.counters().commands, 2U);
    EXPECT_EQ(control.counters().refused, 0U);
}

TEST_F(StatsRing, OtherClassesAreNoStatistics) {
    for (unsigned class_id = 0; class_id < 256; ++class_id) {
        const Bytes bytes = command(static_cast<uint8_t>(class_id), 0);
        offer({{put(bytes), 2, false}, {kAck, 1, true}, {kResult, 8, true}});
        serve();
        EXPECT_EQ(rig.memory.load<uint8_t>(kResult) != kUnanswered, class_id == 8) << class_id;
        expect(class_id == 8 ? kOk : kError, class_id == 8 ? 9 : 1);
        std::memset(rig.memory.host(kResult), kUnanswered, 8);
    }
}

TEST_F(StatsRing, AckAndResultInOneBuffer) {
    const Bytes bytes = command(8, 0);
    offer({{put(bytes), 2, false}, {kAck, 9, true}});
    serve();
    EXPECT_EQ(number_at(kResult), bit(0) | bit(16) | bit(32));
    expect(kOk, 9);
}

TEST_F(StatsRing, Case156_NoMoreThanThereIsRoomFor) {
    ask(1, entry(0, bit(0)), 55);
    serve();
    EXPECT_EQ(rig.memory.load<uint8_t>(kResult), kUnanswered) << "no record in part";
    expect(kOk, 1);
    ask(0, {}, 7);
    serve();
    EXPECT_EQ(rig.memory.load<uint8_t>(kResult), kUnanswered);
    expect(kError, 1);
    // No room after the ack.
    offer(command(8, 0));
    serve();
    expect(kError, 1);
}

TEST_F(StatsRing, CommandsCountTheOneThatAsks) {
    ask(1, entry(1, bit(40)), 100);
    serve();
    expect(kError, 1);
    ask(1, entry(2, bit(32)), 100);
    serve();
    EXPECT_EQ(number_at(kResult + 8), 2U);
    EXPECT_EQ(number_at(kResult + 16), 1U);
    expect(kOk, 1 + 24);
    EXPECT_EQ(control.counters().refused, 1U);
}

TEST_F(StatsRing, Case155_AnErrorWritesTheAckAlone) {
    ask(1, entry(5, bit(0)), 100);
    serve();
    EXPECT_EQ(rig.memory.load<uint8_t>(kResult), kUnanswered);
    expect(kError, 1);
    // The next command gets nothing of an earlier result.
    ask(0, {}, 8);
    const Bytes bytes = command(0, 1, {1});
    put(bytes, kCommand + 0x100);
    offer(
        {{kCommand + 0x100, static_cast<uint32_t>(bytes.size()), false},
         {kAck + 64, 1, true},
         {kAck + 65, 8, true}}
    );
    EXPECT_EQ(serve(), 2);
    expect(kOk, 9);
    const auto used = rig.driver.take_used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->len, 1U);
    EXPECT_EQ(ack(kAck + 64), kError) << "CTRL_RX was not negotiated";
    EXPECT_EQ(ack(kAck + 65), kUnanswered);
}

TEST_F(ControlRing, AnswersOneByteAtItsPlace) {
    offer(command(0, 1, {1}));
    EXPECT_EQ(serve(), 1);
    EXPECT_EQ(ack(kAck + 1), kUnanswered) << "and no other";
    expect(kOk);
    EXPECT_TRUE(control.state().filter.all_multicast);
    offer(command(0, 1, {7}));
    serve();
    expect(kError);
}

// Case 89: one byte per descriptor.
TEST_F(ControlRing, Case89_ScatteredCommand) {
    const Bytes bytes = command(1, 1, {2, 9, 8, 7, 6, 5});
    std::vector<Buffer> buffers;
    for (size_t i = 0; i < bytes.size(); ++i) {
        put({bytes[i]}, kCommand + i * 100);
        buffers.push_back({kCommand + i * 100, 1, false});
    }
    buffers.push_back({kAck, 1, true});
    ASSERT_TRUE(rig.driver.offer(buffers));
    rig.driver.publish();
    EXPECT_EQ(serve(), 1);
    expect(kOk);
    EXPECT_EQ(control.state().filter.mac, (MacAddress{2, 9, 8, 7, 6, 5}));
}

TEST_F(ControlRing, LinuxLayout) {
    // Header, data in two buffers, ack.
    put(command(1, 0));
    const Bytes data = tables(2, 2, 1, 1);
    put(data, kCommand + 256);
    offer(
        {{kCommand, 2, false},
         {kCommand + 256, 16, false},
         {kCommand + 272, static_cast<uint32_t>(data.size() - 16), false},
         {kAck, 1, true}}
    );
    serve();
    expect(kOk);
    EXPECT_EQ(control.state().filter.unicast.addresses.size(), 2U);
}

// Case 83: a chain without readable bytes is not a command.
TEST_F(ControlRing, Case83_EmptyAndShortCommands) {
    offer({{kAck, 1, true}});
    serve();
    expect(kError);
    offer(Bytes{0});
    serve();
    expect(kError);
}

// Case 84: the chain is returned to the driver in any case.
TEST_F(ControlRing, Case84_NoRoomForTheAck) {
    offer({{put(command(0, 1, {1})), 3, false}});
    EXPECT_EQ(serve(), 1);
    expect(kUnanswered, 0);
    EXPECT_FALSE(control.state().filter.all_multicast) << "and nothing is executed";
    EXPECT_EQ(published, 0U);
}

TEST_F(ControlRing, Case84_AckFirst) {
    offer({{kAck, 1, true}, {put(command(0, 1, {1})), 3, false}});
    EXPECT_EQ(serve(), 1);
    expect(kUnanswered, 0);
    EXPECT_EQ(published, 0U);
}

TEST_F(ControlRing, Case84_LongerAck) {
    offer({{put(command(0, 1, {1})), 3, false}, {kAck, 4, true}, {kAck + 8, 4, true}});
    serve();
    EXPECT_EQ(ack(kAck + 1), kUnanswered);
    EXPECT_EQ(ack(kAck + 8), kUnanswered);
    expect(kOk, 1);
}

// Case 32: the ack byte is in read-only memory.
TEST_F(ControlRing, Case32_AckInAReadOnlyRegion) {
    rig.memory.add_bytes(0x1000, 16, kRead);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    offer(command(0, 1, {1}), 0x1000);
    EXPECT_EQ(serve(), 1);
    expect(kUnanswered, 0);
    EXPECT_EQ(published, 0U);
}

// Case 85: the rest of the ring is served.
TEST_F(ControlRing, Case85_MalformedChainsInBetween) {
    offer(command(0, 1, {1}));
    rig.driver.write_descriptor(60, {kCommand, 3, ring::kDescNext, 60});
    rig.driver.push_head(60);
    rig.driver.write_descriptor(61, {kCommand, 3, ring::kDescNext, 64});
    rig.driver.push_head(61);
    offer(command(0, 1, {1}), kAck + 1);
    EXPECT_EQ(ControlTest::serve(rig.ring), 4);
    for (const auto& [id, len] :
         {std::pair{0U, 1U}, std::pair{60U, 0U}, std::pair{61U, 0U}, std::pair{2U, 1U}}) {
        const auto used = rig.driver.take_used();
        ASSERT_TRUE(used);
        EXPECT_EQ(used->id, id);
        EXPECT_EQ(used->len, len);
    }
    EXPECT_EQ(ack(kAck + 1), kOk);
}

// Case 90: at most 64 KiB are copied.
TEST_F(ControlRing, Case90_LongCommands) {
    constexpr uint32_t kLimit = 64 * 1024;
    const Bytes most = command(1, 0, tables(10920, 10920, 0, 0));
    ASSERT_LE(most.size(), size_t{kLimit});
    offer(most);
    serve();
    expect(kOk);
    EXPECT_TRUE(control.state().filter.unicast.everything);

    Bytes more = command(1, 0, tables(10922, 10922, 0, 0));
    ASSERT_GT(more.size(), size_t{kLimit});
    offer(more);
    serve();
    expect(kError);
    EXPECT_LE(ledger.bytes(), 64U) << "not even copied";

    constexpr Iova kHuge = 0x10'0000'0000;
    rig.memory.add(kHuge, kHuge + 0xffff'ffff, kReadWrite, 4096);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    offer({{kHuge, 0xfffffff0, false}, {kAck, 1, true}});
    serve();
    expect(kError);
}

TEST_F(ControlRing, EachCommandIsAnsweredBeforeTheNextIsExecuted) {
    for (unsigned i = 0; i < 4; ++i) {
        put(command(4, 0, le16(i + 1)), kCommand + i * 64);
        offer({{kCommand + i * 64, 4, false}, {kAck + i, 1, true}});
    }
    std::vector<uint16_t> used_when_proposed;
    ControlBurst burst(control, rig.ring);
    while (burst.next() != nullptr) {
        used_when_proposed.push_back(rig.driver.used_idx());
        burst.finish(true);
    }
    EXPECT_EQ(burst.served(), 4);
    EXPECT_EQ(used_when_proposed, (std::vector<uint16_t>{0, 1, 2, 3}));
}

TEST_F(ControlRing, NothingHoldsBeforeItIsPublished) {
    offer(command(0, 1, {1}));
    {
        ControlBurst burst(control, rig.ring);
        const ControlState* const proposed = burst.next();
        ASSERT_NE(proposed, nullptr);
        EXPECT_TRUE(proposed->filter.all_multicast);
        EXPECT_FALSE(control.state().filter.all_multicast);
        EXPECT_EQ(ack(), kUnanswered);
        EXPECT_EQ(burst.served(), 0U);
        burst.finish(true);
    }
    EXPECT_TRUE(control.state().filter.all_multicast);
    expect(kOk);
}

TEST_F(ControlRing, WhatCannotBePublishedIsAnsweredWithAnError) {
    accept = false;
    offer(command(0, 1, {1}));
    EXPECT_EQ(serve(), 1);
    expect(kError);
    EXPECT_FALSE(control.state().filter.all_multicast);
}

// Cases 52, 53: the command is fetched in one pass. Later changes by the driver have no effect.
TEST_F(ControlRing, Case52_CommandRewrittenAfterTheFetch) {
    offer(command(1, 0, tables(1, 1, 0, 0)));
    ledger.begin();
    // 1 index, 2 heads, 3 and 4 descriptors, 5 the command
    ledger.after(5, [&] { put(command(1, 0, tables(0xffffffff, 1, 0, 0))); });
    ControlTest::serve(rig.ring);
    EXPECT_EQ(ledger.twice(), 0U);
    EXPECT_EQ(ledger.fetches(), 5U);
    expect(kOk);
    EXPECT_EQ(control.state().filter.unicast.addresses.size(), 1U);
}

// Case 98: indices are free-running, used lengths are in bytes.
TEST_F(ControlRing, Case98_65536Commands) {
    for (unsigned i = 0; i < 65536 + 100; ++i) {
        offer(command(2, i % 2 == 0 ? 0 : 1, le16(i / 2 % 4096)));
        ASSERT_EQ(ControlTest::serve(rig.ring), 1) << i;
        const auto used = rig.driver.take_used();
        ASSERT_TRUE(used && used->len == 1 && ack() == kOk) << i;
        ledger.begin();
    }
    EXPECT_EQ(control.counters().commands, 65636U);
    EXPECT_EQ(control.counters().refused, 0U);
}

// Case 99: one call serves a burst and returns, however many commands wait.
TEST_F(ControlRing, Case99_BudgetPerTurn) {
    RingRig large({.size = 1024});
    for (unsigned i = 0; i < 300; ++i) {
        large.driver.offer({{kCommand, 3, false}, {kAck, 1, true}});
        large.driver.publish();
    }
    EXPECT_LE(ControlTest::serve(large.ring), kMaxBurst);
}

}  // namespace
}  // namespace vduse::test
