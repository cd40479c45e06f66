// SPDX-License-Identifier: BSD-3-Clause

// The facts of a device: their paths, which are an interface for programs, and how facts are found
// and shown.
#include "vduse/describe.h"

#include <gtest/gtest.h>

namespace vduse {
namespace {

std::vector<std::string> paths(const Facts& facts) {
    std::vector<std::string> all;
    for (const Fact& fact : facts)
        all.push_back(fact.path);
    return all;
}

std::string said(const Facts& facts, std::string_view path) {
    const Fact* const fact = find(facts, path);
    return fact != nullptr ? text_of(*fact) : "nothing";
}

TEST(Describe, ADevice) {
    DeviceInfo info;
    info.name = "vd0";
    info.status = 0xb;
    info.features = uint64_t{1} << 32 | 1U << 3;
    info.offloads_off = 1U << 7;
    info.mac = {2, 0, 0, 0, 0, 0xab};
    info.groups = {{false, 0, 0, 3}, {true, 1, 4, 4}};
    info.spaces = {{{0, 0xfff, true, true, 1}, {0x2000, 0x2fff, true, false, -1}}, {}};
    const Facts facts = describe(info);
    EXPECT_EQ(said(facts, "name"), "vd0");
    EXPECT_EQ(said(facts, "status"), "0xb");
    EXPECT_EQ(said(facts, "status_names"), "ACKNOWLEDGE, DRIVER, FEATURES_OK");
    EXPECT_EQ(said(facts, "features"), "0x100000008");
    EXPECT_EQ(said(facts, "offloads_off"), "GUEST_TSO4");
    EXPECT_EQ(said(facts, "broken"), "no");
    EXPECT_EQ(said(facts, "mac"), "02:00:00:00:00:ab");
    EXPECT_EQ(said(facts, "promiscuous"), "yes");
    EXPECT_EQ(said(facts, "groups.1.use"), "control");
    EXPECT_EQ(said(facts, "groups.1.asid"), "1");
    EXPECT_EQ(
        said(facts, "spaces.0.regions"), "0x0-0xfff rw node 1, 0x2000-0x2fff r- node unknown"
    );
    EXPECT_EQ(said(facts, "spaces.1.region_count"), "0");
    EXPECT_EQ(said(facts, "spaces.1.regions"), "");
}

TEST(Describe, AControlQueueHasNoPair) {
    QueueInfo info;
    info.use = QueueUse::from_guest;
    EXPECT_EQ(said(describe(info), "pair"), "0");
    info.use = QueueUse::control;
    EXPECT_EQ(said(describe(info), "pair"), "nothing");
}

TEST(Describe, EachReasonOfADrop) {
    EXPECT_EQ(
        paths(describe(QueueStats())),
        (std::vector<std::string>{
            "frames",
            "bytes",
            "dropped",
            "dropped_malformed",
            "dropped_bad_header",
            "dropped_too_short",
            "dropped_too_long",
            "dropped_filtered",
            "dropped_no_room",
            "dropped_bad_csum",
            "dropped_bad_gso",
            "no_mbuf",
            "no_buffer",
            "interrupts",
            "misses",
            "csum",
            "large",
            "csum_done",
            "cut"})
    );
}

TEST(Describe, Lists) {
    const Facts facts{{"a", 1U}, {"b.c", true}, {"b.d.e", "x"}, {"bb.c", 2U}};
    EXPECT_EQ(said(facts, "a"), "1");
    EXPECT_EQ(said(facts, "b.c"), "yes");
    for (const char* none : {"", "b", "c", "a.c", "b.", "b.c.d"})
        EXPECT_EQ(said(facts, none), "nothing") << none;
    EXPECT_EQ(paths(below(facts, "b")), (std::vector<std::string>{"c", "d.e"}));
    EXPECT_EQ(said(below(facts, "b"), "d.e"), "x");
    EXPECT_EQ(
        paths(join(under("x", {{"a", 1U}}), {{"d", 2U}})), (std::vector<std::string>{"x.a", "d"})
    );
}

}  // namespace
}  // namespace vduse
