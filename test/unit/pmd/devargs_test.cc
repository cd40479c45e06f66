// SPDX-License-Identifier: BSD-3-Clause

// Devargs of net_vduse: what is accepted. Every error names the key and what is valid.
#include "devargs.h"

#include <gtest/gtest.h>
#include <rte_kvargs.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <set>
#include <sstream>

namespace vduse::pmd {
namespace {

Result<DevArgs> parse(const std::string& args) {
    return parse_devargs("net_vduse0", args.c_str());
}

/// The error about `args`, or "accepted".
std::string complaint(const std::string& args) {
    const auto parsed = parse(args);
    return parsed ? "accepted" : parsed.error().what;
}

void expect_refused(const std::string& args, std::initializer_list<const char*> parts) {
    const auto parsed = parse(args);
    ASSERT_FALSE(parsed) << args;
    EXPECT_EQ(parsed.error().code, EINVAL) << args;
    const std::string& text = parsed.error().what;
    for (const char* part : parts)
        EXPECT_NE(text.find(part), std::string::npos)
            << args << "\n  gives: " << text << "\n  without: " << part;
    EXPECT_EQ(text.find('\n'), std::string::npos) << args;
}

/// The keys listed in the error about an unknown key.
std::set<std::string> listed_keys() {
    const std::string text = complaint("nothing=1");
    const std::string start = "valid keys: ";
    std::istringstream stream(text.substr(text.find(start) + start.size()));
    std::set<std::string> keys;
    for (std::string key; stream >> key;)
        keys.insert(key.substr(0, key.find(',')));
    return keys;
}

TEST(Devargs, Defaults) {
    for (const char* nothing : {static_cast<const char*>(nullptr), ""}) {
        const auto args = parse_devargs("net_vduse0", nothing);
        ASSERT_TRUE(args);
        EXPECT_EQ(args->config.name, "net_vduse0");
        EXPECT_EQ(args->config.queue_pairs, 1);
        EXPECT_EQ(args->config.queue_size, 0);
        EXPECT_EQ(args->config.mac, mac_from_name("net_vduse0"));
        EXPECT_EQ(args->config.mtu, 9702);
        EXPECT_FALSE(args->config.offer_mtu);
        EXPECT_TRUE(args->config.csum);
        EXPECT_TRUE(args->config.tso);
        EXPECT_TRUE(args->config.mrg_rxbuf);
        EXPECT_TRUE(args->config.event_idx);
        EXPECT_TRUE(args->config.full_duplex);
        EXPECT_EQ(args->config.speed, 10000U);
        EXPECT_EQ(args->config.profile, Profile::migratable);
        EXPECT_EQ(args->config.ctrl_vq, CtrlVq::automatic);
        EXPECT_EQ(args->config.groups, Groups::together);
        EXPECT_EQ(args->config.spaces, 0);
        EXPECT_FALSE(args->config.persist);
        EXPECT_FALSE(args->mtu);
        EXPECT_FALSE(args->linear);
        EXPECT_FALSE(args->always_large);
        EXPECT_FALSE(args->legacy_flags);
        EXPECT_EQ(args->config.attach, Attach::none);
        EXPECT_TRUE(args->netdev.empty());
        EXPECT_TRUE(args->netns.empty());
        EXPECT_FALSE(args->owner);
        EXPECT_FALSE(args->group);
        EXPECT_FALSE(args->mode);
        EXPECT_TRUE(args->ignored.empty());
    }
}

TEST(Devargs, EveryKey) {
    const auto args = parse(
        "iface=/dev/vduse/vd0,queues=4,queue_size=256,mac=02:aB:00:00:00:01,mtu=9000,speed=25000,"
        "duplex=half,csum=0,tso=0,mrg_rxbuf=0,indirect=1,event_idx=0,linear-buffer=1,"
        "legacy-ol-flags=1,ctrl_vq=on,"
        "groups=per-pair,as=5,persist=1,attach=virtio,netdev=eth7,netns=blue,owner=7:8,mode=660"
    );
    ASSERT_TRUE(args) << args.error().what;
    EXPECT_EQ(args->config.name, "vd0");
    EXPECT_EQ(args->config.queue_pairs, 4);
    EXPECT_EQ(args->config.queue_size, 256);
    EXPECT_EQ(args->config.mac, (std::array<uint8_t, 6>{2, 0xab, 0, 0, 0, 1}));
    EXPECT_EQ(args->config.mtu, 9000);
    EXPECT_TRUE(args->config.offer_mtu);
    EXPECT_EQ(args->config.speed, 25000U);
    EXPECT_FALSE(args->config.full_duplex);
    EXPECT_FALSE(args->config.csum);
    EXPECT_FALSE(args->config.tso);
    EXPECT_FALSE(args->config.mrg_rxbuf);
    EXPECT_FALSE(args->config.event_idx);
    EXPECT_EQ(args->config.profile, Profile::full);
    EXPECT_EQ(args->config.ctrl_vq, CtrlVq::on);
    EXPECT_EQ(args->config.groups, Groups::per_pair);
    EXPECT_EQ(args->config.spaces, 5);
    EXPECT_TRUE(args->config.persist);
    EXPECT_EQ(args->mtu, 9000);
    EXPECT_TRUE(args->linear);
    EXPECT_TRUE(args->legacy_flags);
    EXPECT_EQ(args->config.attach, Attach::virtio);
    EXPECT_EQ(args->netdev, "eth7");
    EXPECT_EQ(args->netns, "blue");
    EXPECT_EQ(args->owner, 7U);
    EXPECT_EQ(args->group, 8U);
    EXPECT_EQ(args->mode, mode_t{0660});
}

TEST(Devargs, TheMacFollowsTheDeviceNotThePort) {
    EXPECT_EQ(parse("iface=vd0")->config.mac, mac_from_name("vd0"));
}

TEST(Devargs, LimitsAreInclusive) {
    for (const char* args :
         {"queues=1",
          "queues=128",
          "queue_size=2",
          "queue_size=32768",
          "mtu=68",
          "mtu=9702",
          "speed=1",
          "speed=2147483647",
          "as=1",
          "as=129",
          "mode=0",
          "mode=0777",
          "attach=virtio,netdev=fifteen-letters",
          "attach=virtio,netns=/proc/1/ns/net"})
        EXPECT_EQ(complaint(args), "accepted") << args;
}

TEST(Devargs, BooleansHaveThreeSpellings) {
    for (const char* no : {"0", "no", "off"})
        EXPECT_FALSE(parse(std::string("mrg_rxbuf=") + no)->config.mrg_rxbuf) << no;
    for (const char* yes : {"1", "yes", "on"})
        EXPECT_TRUE(parse(std::string("persist=") + yes)->config.persist) << yes;
    EXPECT_EQ(parse("indirect=0")->config.profile, Profile::migratable);
    for (const char* key :
         {"csum",
          "tso",
          "mrg_rxbuf",
          "indirect",
          "event_idx",
          "linear-buffer",
          "legacy-ol-flags",
          "persist",
          "client"})
        expect_refused(std::string(key) + "=2", {key, "=2: ", "0, 1, no, yes, off, on"});
}

TEST(Devargs, BadValuesNameTheKeyAndWhatIsValid) {
    expect_refused("queues=0", {"queues=0: queues must be 1 to 128"});
    expect_refused("queues=129", {"queues=129", "1 to 128"});
    expect_refused("queues=-1", {"queues=-1", "1 to 128"});
    expect_refused("queues=2x", {"queues=2x", "1 to 128"});
    expect_refused("queues=", {"queues=", "1 to 128"});
    expect_refused("queue_size=1000", {"queue_size=1000", "a power of two, 2 to 32768"});
    expect_refused("queue_size=65536", {"queue_size=65536", "a power of two, 2 to 32768"});
    expect_refused("mac=2:0:0:0:0:1", {"mac=2:0:0:0:0:1", "02:00:00:00:00:01"});
    expect_refused("mac=01:00:00:00:00:01", {"mac=01:00:00:00:00:01", "multicast"});
    expect_refused("mtu=67", {"mtu=67", "68 to 9702"});
    expect_refused("mtu=9703", {"mtu=9703", "68 to 9702"});
    expect_refused("speed=0", {"speed=0", "1 to 2147483647"});
    expect_refused("duplex=both", {"duplex=both", "full, half"});
    expect_refused("ctrl_vq=1", {"ctrl_vq=1", "auto, on, off"});
    expect_refused("groups=own", {"groups=own", "together", "per-pair"});
    expect_refused("as=0", {"as=0", "1 to 129"});
    expect_refused("as=130", {"as=130", "1 to 129"});
    expect_refused("attach=qemu", {"attach=qemu", "none, virtio, vhost"});
    expect_refused("mode=8", {"mode=8", "octal, 0 to 777"});
    expect_refused("mode=1000", {"mode=1000", "octal, 0 to 777"});
    expect_refused("mode=rw", {"mode=rw", "octal"});
}

TEST(Devargs, NamesOfDevices) {
    for (const char* name : {"", "a/b", "/dev/vduse/", "/dev/null", "control", ".hidden"})
        expect_refused(std::string("iface=") + name, {"device name '"});
    EXPECT_FALSE(parse_devargs("net vduse0", nullptr));
}

TEST(Devargs, NetdevsAndTheirNamespaces) {
    for (const char* name : {"", "sixteen-letters-", "a/b", "a:b", "eth%d", "a b", ".", ".."})
        expect_refused(
            std::string("attach=virtio,netdev=") + name, {"netdev=", "1 to 15 characters"}
        );
    for (const char* name : {"", "a/b", "..", "."})
        expect_refused(std::string("attach=virtio,netns=") + name, {"netns=", "ip netns"});
    for (const char* attach : {"", ",attach=none", ",attach=vhost"}) {
        expect_refused(std::string("netdev=eth7") + attach, {"netdev needs attach=virtio"});
        expect_refused(std::string("netns=blue") + attach, {"netns needs attach=virtio"});
    }
    EXPECT_EQ(complaint("netdev=eth7,attach=virtio"), "accepted");
}

TEST(Devargs, Owners) {
    const auto root = parse("owner=root");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->owner, 0U);
    EXPECT_FALSE(root->group);
    EXPECT_EQ(parse("owner=5:root")->group, 0U);
    EXPECT_EQ(parse("owner=5:root")->owner, 5U);
    expect_refused("owner=no-such-user", {"owner=", "user[:group]", "no user 'no-such-user'"});
    expect_refused("owner=root:no-such-group", {"owner=", "no group 'no-such-group'"});
    expect_refused("owner=", {"no user ''"});
    expect_refused("owner=:0", {"no user ''"});
    expect_refused("owner=0:", {"no group ''"});
    expect_refused("owner=0:0:0", {"no group '0:0'"});
}

TEST(Devargs, KeysAreKnownAndGivenOnce) {
    expect_refused("quues=2", {"unknown key 'quues'", "valid keys: iface, queues, queue_size,"});
    expect_refused("profile=full", {"unknown key 'profile'"});
    expect_refused("mtu=1500,mtu=1500", {"mtu is given twice"});
    expect_refused("queues", {"queues needs a value"});
    expect_refused("queues=2,ctrl_vq=off", {"queues", "control queue", "ctrl_vq=off"});
}

TEST(Devargs, AStringThatIsNoList) {
    std::string many = "queues=1";
    for (int i = 0; i < 40; ++i)
        many += ",queues=1";
    expect_refused(many, {"key=value"});
    EXPECT_LE(listed_keys().size(), size_t{RTE_KVARGS_MAX})
        << "a string with every key is no error";
}

TEST(Devargs, FeaturesThatAreNotThereAreRefusedByName) {
    for (const std::string key : {"in_order", "packed_vq", "umem"}) {
        for (const char* yes : {"1", "on", "2", ""})
            expect_refused(key + "=" + yes, {key.c_str(), "must be 0", "not supported yet"});
        EXPECT_EQ(complaint(key + "=0"), "accepted");
        EXPECT_EQ(complaint(key + "=off"), "accepted");
    }
}

TEST(Devargs, StringsOfNetVhostWork) {
    const auto args = parse(
        "iface=/dev/vduse/vd0,queues=2,client=1,iommu-support=1,postcopy-support=0,tso=0,"
        "linear-buffer=1,ext-buffer=0,legacy-ol-flags=0"
    );
    ASSERT_TRUE(args);
    EXPECT_EQ(
        args->ignored, (std::vector<std::string>{"client", "iommu-support", "postcopy-support"})
    );
    EXPECT_FALSE(args->config.tso);
    EXPECT_FALSE(args->ext_buffer);
    EXPECT_TRUE(parse("ext-buffer=1")->ext_buffer);
}

TEST(Devargs, LargeFrames) {
    const auto asked = parse("tso=1");
    ASSERT_TRUE(asked);
    EXPECT_TRUE(asked->config.tso);
    EXPECT_TRUE(asked->always_large);
    EXPECT_FALSE(parse("tso=0")->always_large);
    EXPECT_EQ(complaint("csum=0"), "accepted");
    expect_refused("tso=1,csum=0", {"tso=1 needs csum=1"});
    expect_refused("csum=0,tso=1", {"tso=1 needs csum=1"});
    expect_refused("tso=1,tso=1", {"tso is given twice"});
}

TEST(Devargs, AKeyIsListedOnce) {
    const std::string text = complaint("nothing=1");
    for (const std::string& key : listed_keys()) {
        size_t count = 0;
        for (std::istringstream stream(text); stream;) {
            std::string word;
            stream >> word;
            count += word == key || word == key + "," ? 1 : 0;
        }
        EXPECT_EQ(count, 1U) << key;
    }
}

TEST(Devargs, WhatPmdinfoShowsIsWhatIsValid) {
    std::istringstream stream(VDUSE_PMD_PARAMS);
    std::set<std::string> shown = {// Not implemented, or without effect.
                                   "in_order",
                                   "packed_vq",
                                   "umem",
                                   "client",
                                   "iommu-support",
                                   "postcopy-support"};
    for (std::string word; stream >> word;) {
        EXPECT_NE(word.find("=<"), std::string::npos) << word;
        EXPECT_TRUE(shown.insert(word.substr(0, word.find('='))).second) << word;
    }
    EXPECT_EQ(shown, listed_keys());
}

}  // namespace
}  // namespace vduse::pmd
