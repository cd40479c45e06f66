// SPDX-License-Identifier: BSD-3-Clause

// net/filter.h: which frames the driver's receive filter accepts.
#include "net/filter.h"

#include <gtest/gtest.h>

#include <vector>

#include "net/to_guest.h"
#include "support/eal.h"
#include "vduse/drop.h"
#include "vduse/mac.h"

namespace vduse::test {
namespace {

using net::Filter;

constexpr MacAddress kOurs = {0x02, 0, 0, 0, 0, 0x01};
constexpr MacAddress kOther = {0x02, 0, 0, 0, 0, 0x02};
constexpr MacAddress kThird = {0x02, 0, 0, 0, 0, 0x03};
constexpr MacAddress kGroup = {0x33, 0x33, 0, 0, 0, 0x01};
constexpr MacAddress kGroup2 = {0x33, 0x33, 0, 0, 0, 0x02};
constexpr MacAddress kAll = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

std::vector<uint8_t> frame_to(const MacAddress& to, std::vector<uint8_t> type = {0x08, 0x00}) {
    std::vector<uint8_t> frame(to.begin(), to.end());
    frame.resize(12);
    frame.insert(frame.end(), type.begin(), type.end());
    frame.resize(60);
    return frame;
}
std::vector<uint8_t> tagged(uint16_t vlan, uint8_t priority = 0) {
    const auto high = static_cast<uint8_t>(priority << 5 | vlan >> 8);
    return frame_to(kOurs, {0x81, 0x00, high, static_cast<uint8_t>(vlan), 0x08, 0x00});
}

class FilterTest : public testing::Test {
  protected:
    FilterTest() {
        filter.mac = kOurs;
        filter.promiscuous = false;
    }
    [[nodiscard]] bool passes(const std::vector<uint8_t>& frame) const {
        return filter.accepts(std::span(frame).first(18));
    }
    [[nodiscard]] bool passes(const MacAddress& to) const { return passes(frame_to(to)); }

    Filter filter;
};

TEST(FilterDefaults, AreThoseOfADeviceAfterReset) {
    const Filter filter;
    EXPECT_TRUE(filter.promiscuous);
    EXPECT_FALSE(filter.all_multicast || filter.all_unicast);
    EXPECT_FALSE(filter.no_multicast || filter.no_unicast || filter.no_broadcast);
    EXPECT_TRUE(filter.unicast.addresses.empty() && filter.multicast.addresses.empty());
    EXPECT_TRUE(filter.vlans.none());
}

TEST_F(FilterTest, OwnAddressAndBroadcast) {
    EXPECT_TRUE(passes(kOurs));
    EXPECT_TRUE(passes(kAll));
    EXPECT_FALSE(passes(kOther));
    EXPECT_FALSE(passes(kGroup));
}

TEST_F(FilterTest, Tables) {
    filter.unicast.addresses = {kOther};
    filter.multicast.addresses = {kGroup};
    EXPECT_TRUE(passes(kOther));
    EXPECT_FALSE(passes(kThird));
    EXPECT_TRUE(passes(kGroup));
    EXPECT_FALSE(passes(kGroup2));
    filter.unicast.everything = true;
    filter.multicast.everything = true;
    EXPECT_TRUE(passes(kThird));
    EXPECT_TRUE(passes(kGroup2));
}

TEST_F(FilterTest, AllModes) {
    filter.all_unicast = true;
    EXPECT_TRUE(passes(kThird));
    EXPECT_FALSE(passes(kGroup));
    filter.all_unicast = false;
    filter.all_multicast = true;
    EXPECT_FALSE(passes(kThird));
    EXPECT_TRUE(passes(kGroup));
}

TEST_F(FilterTest, NoModesWinOverAllModes) {
    filter.all_unicast = filter.all_multicast = true;
    filter.no_unicast = true;
    EXPECT_FALSE(passes(kOurs));
    EXPECT_FALSE(passes(kOther));
    EXPECT_TRUE(passes(kGroup));
    filter.no_multicast = true;
    EXPECT_FALSE(passes(kGroup));
    EXPECT_TRUE(passes(kAll)) << "broadcast is not multicast";
    filter.no_broadcast = true;
    EXPECT_FALSE(passes(kAll));
}

TEST_F(FilterTest, PromiscuousLetsAllThrough) {
    filter.promiscuous = true;
    filter.vlan_filtering = true;
    filter.no_unicast = filter.no_multicast = filter.no_broadcast = true;
    EXPECT_TRUE(passes(kOther));
    EXPECT_TRUE(passes(kGroup));
    EXPECT_TRUE(passes(kAll));
    EXPECT_TRUE(passes(tagged(7)));
}

TEST_F(FilterTest, VlansOnceNegotiated) {
    EXPECT_TRUE(passes(tagged(7))) << "not negotiated: all pass";
    filter.vlan_filtering = true;
    EXPECT_FALSE(passes(tagged(7)));
    EXPECT_FALSE(passes(tagged(0)));
    EXPECT_TRUE(passes(kOurs)) << "untagged";
    filter.vlans.set(7);
    filter.vlans.set(4095);
    EXPECT_TRUE(passes(tagged(7)));
    EXPECT_TRUE(passes(tagged(7, 5))) << "the priority is not part of the id";
    EXPECT_TRUE(passes(tagged(4095)));
    EXPECT_FALSE(passes(tagged(8)));
}

TEST_F(FilterTest, TagThatIsCutOff) {
    filter.vlan_filtering = true;
    const auto frame = tagged(7);
    EXPECT_TRUE(filter.accepts(std::span(frame).first(14))) << "no id to look at";
    EXPECT_TRUE(filter.accepts(std::span(frame).first(17)));
}

TEST_F(FilterTest, ChecksLengthsOfMbufs) {
    Pool pool(32);
    const auto check = [&](const std::vector<uint8_t>& bytes, size_t run) {
        rte_mbuf* frame = pool.frame(bytes, run);
        const auto drop = net::detail::check_to_guest(frame, frame->pkt_len, {100, false, &filter});
        rte_pktmbuf_free(frame);
        return drop;
    };
    filter.vlan_filtering = true;
    filter.vlans.set(7);
    for (const size_t run : {size_t{2048}, size_t{5}, size_t{1}}) {
        auto frame = tagged(7);
        frame.resize(20);
        EXPECT_EQ(check(frame, run), std::nullopt) << "in mbufs of " << run;
        frame[15] = 8;
        EXPECT_EQ(check(frame, run), Drop::filtered);
    }
    auto frame = frame_to(kOurs);
    frame.resize(13);
    EXPECT_EQ(check(frame, 2048), Drop::too_short);
    frame.resize(14);
    EXPECT_EQ(check(frame, 2048), std::nullopt);
    frame.resize(100);
    EXPECT_EQ(check(frame, 2048), std::nullopt);
    frame.resize(101);
    EXPECT_EQ(check(frame, 2048), Drop::too_long);
}

}  // namespace
}  // namespace vduse::test
