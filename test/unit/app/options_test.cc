// SPDX-License-Identifier: BSD-3-Clause

// Options of vduse-dp: what is accepted. Every error names the key and what is valid.
#include "app/options/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace vduse::app {
namespace {

/// Parses a command line without quotes.
Result<Options> parse(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    std::vector<const char*> pointers;
    for (const auto& word : words)
        pointers.push_back(word.c_str());
    return parse_options(pointers);
}

/// The error about `line`, or "accepted".
std::string complaint(const std::string& line) {
    const auto options = parse(line);
    return options ? "accepted" : options.error().what;
}

void expect_refused(const std::string& line, std::initializer_list<const char*> parts) {
    const std::string text = complaint(line);
    for (const char* part : parts)
        EXPECT_NE(text.find(part), std::string::npos)
            << line << "\n  gives: " << text << "\n  without: " << part;
    EXPECT_EQ(text.find('\n'), std::string::npos) << line;
}

TEST(Options, DefaultsOfADevice) {
    const auto options = parse("--device vd0");
    ASSERT_TRUE(options);
    ASSERT_EQ(options->devices.size(), 1U);
    const DeviceOptions& device = options->devices[0];
    EXPECT_EQ(device.config.name, "vd0");
    EXPECT_EQ(device.config.queue_pairs, 1);
    EXPECT_EQ(device.config.queue_size, 0);
    EXPECT_FALSE(device.config.mac);
    EXPECT_EQ(device.config.mtu, 1500);
    EXPECT_EQ(device.config.speed, 10000U);
    EXPECT_TRUE(device.config.csum);
    EXPECT_TRUE(device.config.tso);
    EXPECT_EQ(device.config.profile, Profile::migratable);
    EXPECT_EQ(device.config.ctrl_vq, CtrlVq::automatic);
    EXPECT_EQ(device.config.attach, Attach::none);
    EXPECT_EQ(options->stats_seconds, 0U);
}

TEST(Options, EveryKeyOfADevice) {
    const auto options = parse(
        "--device "
        "vd0,queues=4,queue_size=256,bounce=64M,mac=02:aB:00:00:00:01,mtu=9000,speed=25000,"
        "csum=0,tso=off,profile=full,ctrl_vq=on,groups=per-pair,as=5,persist=1,attach=vhost"
    );
    ASSERT_TRUE(options);
    const DeviceOptions& device = options->devices[0];
    EXPECT_EQ(device.config.queue_pairs, 4);
    EXPECT_EQ(device.config.queue_size, 256);
    EXPECT_EQ(device.config.bounce, uint64_t{64} << 20);
    EXPECT_EQ(device.config.mac, (std::array<uint8_t, 6>{2, 0xab, 0, 0, 0, 1}));
    EXPECT_EQ(device.config.mtu, 9000);
    EXPECT_EQ(device.config.speed, 25000U);
    EXPECT_FALSE(device.config.csum);
    EXPECT_FALSE(device.config.tso);
    EXPECT_EQ(device.config.profile, Profile::full);
    EXPECT_EQ(device.config.ctrl_vq, CtrlVq::on);
    EXPECT_EQ(device.config.groups, Groups::per_pair);
    EXPECT_EQ(device.config.spaces, 5);
    EXPECT_TRUE(device.config.persist);
    EXPECT_EQ(device.config.attach, Attach::vhost);
}

TEST(Options, LimitsAreInclusive) {
    for (const char* item :
         {"queues=1",
          "queues=128",
          "queue_size=2",
          "queue_size=32768",
          "bounce=1M",
          "bounce=1048576",
          "bounce=1024K",
          "bounce=1G",
          "mtu=68",
          "mtu=9702",
          "speed=1",
          "speed=2147483647"})
        EXPECT_EQ(complaint(std::string("--device vd0,") + item), "accepted") << item;
}

TEST(Options, BadValuesNameTheKeyAndTheRange) {
    expect_refused("--device vd0,queues=0", {"--device vd0", "queues=0", "1 to 128"});
    expect_refused("--device vd0,queues=129", {"queues=129", "1 to 128"});
    expect_refused("--device vd0,queues=-1", {"queues=-1", "1 to 128"});
    expect_refused("--device vd0,queues=2x", {"queues=2x", "1 to 128"});
    expect_refused("--device vd0,queues=4294967297", {"queues=", "1 to 128"});
    expect_refused("--device vd0,queues=", {"queues=", "1 to 128"});
    expect_refused("--device vd0,queues", {"queues needs a value"});
    for (const char* item :
         {"1", "1048575", "1025M", "2G", "G", "-1M", "1MB", "0x100000", "99999999999"})
        expect_refused(
            std::string("--device vd0,bounce=") + item, {"bounce=", "bounce must be 1M to 1G"}
        );
    expect_refused("--device vd0,queue_size=1000", {"queue_size", "power of two, 2 to 32768"});
    expect_refused("--device vd0,queue_size=1", {"queue_size", "power of two, 2 to 32768"});
    expect_refused("--device vd0,queue_size=65536", {"queue_size", "power of two, 2 to 32768"});
    expect_refused("--device vd0,mtu=67", {"mtu=67", "68 to 9702"});
    expect_refused("--device vd0,mtu=9703", {"mtu=9703", "68 to 9702"});
    expect_refused("--device vd0,speed=0", {"speed=0", "1 to 2147483647"});
    expect_refused("--device vd0,csum=2", {"csum=2", "0, 1"});
    expect_refused("--device vd0,tso=large", {"tso=large", "0, 1"});
    expect_refused("--device vd0,profile=fast", {"profile=fast", "migratable, full"});
    expect_refused("--device vd0,ctrl_vq=yes", {"ctrl_vq=yes", "auto, on, off"});
    expect_refused("--device vd0,groups=own", {"groups=own", "together, data, per-pair"});
    expect_refused("--device vd0,persist=2", {"persist=2", "0, 1"});
    expect_refused("--device vd0,as=0", {"as=0", "1 to 129"});
    expect_refused("--device vd0,as=130", {"as=130", "1 to 129"});
    expect_refused("--device vd0,attach=qemu", {"attach=qemu", "none, virtio, vhost"});
}

TEST(Options, BadMacs) {
    for (const char* mac :
         {"",
          "02:00:00:00:00",
          "02:00:00:00:00:01:02",
          "02-00-00-00-00-01",
          "2:0:0:0:0:1",
          "02:00:00:00:00:0g",
          "03:00:00:00:00:01",
          "00:00:00:00:00:00",
          "02:00:00:00:00:-1"})
        expect_refused(
            std::string("--device vd0,mac=") + mac, {"--device vd0", "mac=", "02:00:00:00:00:01"}
        );
}

TEST(Options, KeysAreKnownAndGivenOnce) {
    expect_refused(
        "--device vd0,quues=2",
        {"unknown key 'quues'",
         "queues, queue_size, bounce, mac, mtu, speed, csum, tso, profile, ctrl_vq, groups, as, "
         "persist, attach"}
    );
    expect_refused("--device vd0,", {"unknown key ''", "queues, queue_size"});
    expect_refused("--device vd0,mtu=1500,", {"unknown key ''"});
    expect_refused("--device vd0,,mtu=1500", {"unknown key ''"});
    expect_refused("--device vd0,mtu=1500,mtu=1500", {"mtu is given twice"});
    expect_refused("--device vd0,queues=2,ctrl_vq=off", {"queues", "ctrl_vq", "auto or on"});
}

TEST(Options, QueuesOfAPort) {
    const auto options = parse("--device vd0 --port p0,queues_of_port=4 --port p1 --patch vd0:p0");
    ASSERT_TRUE(options) << options.error().what;
    ASSERT_EQ(options->ports.size(), 2U);
    EXPECT_EQ(options->ports[0].name, "p0");
    EXPECT_EQ(options->ports[0].queues, 4);
    EXPECT_EQ(options->ports[1].queues, 0) << "as many as its devices have";
    EXPECT_EQ(options->patches[0].b, (EndpointOption{true, 0}));
    for (const char* good : {"queues_of_port=1", "queues_of_port=1024"})
        EXPECT_EQ(complaint(std::string("--device vd0 --port p0,") + good), "accepted");
    for (const char* value : {"0", "1025", "", "x", "-1"})
        expect_refused(
            std::string("--device vd0 --port p0,queues_of_port=") + value,
            {"--port p0: queues_of_port=", "must be 1 to 1024"}
        );
    expect_refused("--port p0,queues_of_port", {"--port p0: queues_of_port needs a value"});
    expect_refused("--port p0,queues=2", {"unknown key 'queues', valid keys: queues_of_port"});
    expect_refused("--port p0,", {"--port p0: unknown key ''"});
    expect_refused(
        "--port p0,queues_of_port=1,queues_of_port=1", {"queues_of_port is given twice"}
    );
    expect_refused("--port ,queues_of_port=1", {"--port: the name is empty"});
    expect_refused("--port p0 --port p0,queues_of_port=1", {"--port p0", "given twice"});
}

TEST(Options, NamesOfDevices) {
    for (const char* name : {"a/b", "control", ".hidden", "-x", "a:b", "..", ",queues=2"})
        expect_refused(std::string("--device ") + name, {"--device ", "letters"});
    expect_refused("--device " + std::string(64, 'x'), {"1 to 63"});
    EXPECT_EQ(complaint("--device " + std::string(63, 'x')), "accepted");
    expect_refused("--device vd0 --device vd0", {"vd0", "given twice"});
    expect_refused("--device vd0 --port vd0", {"vd0", "given twice"});
    expect_refused("--device vd0 --port p0 --port p0", {"p0", "given twice"});
}

TEST(Options, PatchesAndReflects) {
    const auto options =
        parse("--patch vd1:net_tap0 --reflect vd0 --device vd0 --device vd1 --port net_tap0");
    ASSERT_TRUE(options);
    ASSERT_EQ(options->patches.size(), 1U);
    EXPECT_EQ(options->patches[0].a, (EndpointOption{false, 1}));
    EXPECT_EQ(options->patches[0].b, (EndpointOption{true, 0}));
    EXPECT_EQ(endpoint_name(*options, options->patches[0].b), "net_tap0");
    ASSERT_EQ(options->reflects.size(), 1U);
    EXPECT_EQ(options->reflects[0], (EndpointOption{false, 0}));
    EXPECT_TRUE(unused_endpoints(*options).empty());
}

TEST(Options, NamesOfPciPortsContainColons) {
    for (const char* patch : {"vd0:0000:03:00.0", "0000:03:00.0:vd0"}) {
        const auto options =
            parse(std::string("--device vd0 --port 0000:03:00.0 --patch ") + patch);
        ASSERT_TRUE(options) << patch;
        EXPECT_EQ(options->patches.size(), 1U);
    }
    const auto two = parse(
        "--device v --port 0000:03:00.0 --port 0000:03:00.1 "
        "--patch 0000:03:00.0:0000:03:00.1"
    );
    ASSERT_TRUE(two);
    EXPECT_EQ(two->patches[0].a, (EndpointOption{true, 0}));
    EXPECT_EQ(two->patches[0].b, (EndpointOption{true, 1}));
    expect_refused(
        "--device vd0 --port 0000:03:00.0 --patch vd0:0000:03:00.1", {"valid names", "vd0, 0000:"}
    );
}

TEST(Options, UnknownEndpointsAreNamedWithTheValidOnes) {
    const std::string known = "--device vd0 --port net_tap0 ";
    expect_refused(known + "--patch vd0:x", {"--patch vd0:x", "'x'", "vd0, net_tap0"});
    expect_refused(known + "--patch x:vd0", {"--patch x:vd0", "'x'", "vd0, net_tap0"});
    expect_refused(known + "--patch vd0", {"--patch vd0", "A:B"});
    expect_refused(known + "--patch vd0:", {"''", "vd0, net_tap0"});
    expect_refused(known + "--reflect x", {"--reflect", "'x'", "vd0, net_tap0"});
}

TEST(Options, AnEndpointIsUsedOnce) {
    const std::string known = "--device vd0 --device vd1 --device vd2 ";
    expect_refused(known + "--patch vd0:vd0", {"--patch vd0:vd0", "differ"});
    expect_refused(known + "--patch vd0:vd1 --patch vd2:vd1", {"vd1 is used twice"});
    expect_refused(known + "--patch vd0:vd1 --reflect vd0", {"vd0 is used twice"});
    expect_refused(known + "--reflect vd2 --reflect vd2", {"vd2 is used twice"});
}

TEST(Options, Bridges) {
    const auto options = parse(
        "--bridge vd0,0000:03:00.0,vd1 --device vd0 --device vd1 --port 0000:03:00.0 --port p1 "
        "--device vd2 --bridge p1,age=20,vd2"
    );
    ASSERT_TRUE(options);
    ASSERT_EQ(options->bridges.size(), 2U);
    EXPECT_EQ(
        options->bridges[0].members,
        (std::vector<EndpointOption>{{false, 0}, {true, 0}, {false, 1}})
    );
    EXPECT_EQ(options->bridges[0].age_seconds, 300U);
    EXPECT_EQ(options->bridges[1].members, (std::vector<EndpointOption>{{true, 1}, {false, 2}}));
    EXPECT_EQ(options->bridges[1].age_seconds, 20U);
    EXPECT_TRUE(unused_endpoints(*options).empty());
}

TEST(Options, BadBridges) {
    const std::string known = "--device vd0 --device vd1 --port p0 --bridge ";
    expect_refused(known + "vd0", {"--bridge vd0", "A,B,...", "2 to 64"});
    expect_refused(known + "vd0,x", {"--bridge vd0,x", "'x'", "vd0, vd1, p0"});
    expect_refused(known + "vd0,", {"''", "vd0, vd1, p0"});
    expect_refused(known + "vd0,age=3", {"A,B,..."});
    expect_refused(known + "vd0,vd1,age=0", {"age must be 1 to 86400 seconds"});
    expect_refused(known + "vd0,vd1,age=86401", {"age must be 1 to 86400 seconds"});
    expect_refused(known + "vd0,vd1,age=1,age=1", {"age is given twice"});
    expect_refused(known + "vd0,vd0", {"vd0 is used twice"});
    expect_refused(known + "vd0,vd1 --reflect vd1", {"vd1 is used twice", "--bridge"});
    expect_refused(known + "vd0,vd1 --bridge vd1,p0", {"vd1 is used twice"});
    std::string many = "--bridge vd";
    std::string devices;
    for (int i = 0; i < 65; ++i) {
        many += ",vd" + std::to_string(i);
        devices += " --device vd" + std::to_string(i);
    }
    expect_refused(many + devices + " --port vd", {"2 to 64"});
}

TEST(Options, UnusedEndpointsAreNotAnError) {
    const auto options = parse("--device vd0 --device vd1 --port p0 --port p1 --patch vd1:p0");
    ASSERT_TRUE(options);
    EXPECT_EQ(unused_endpoints(*options), (std::vector<std::string>{"vd0", "p1"}));
}

TEST(Options, WhatQemuWillNotDo) {
    const auto limits = [](const std::string& keys) {
        const auto options = parse("--device vd0" + keys);
        EXPECT_TRUE(options);
        return options ? qemu_limits(*options) : std::vector<std::string>{};
    };
    for (const char* fine :
         {"",
          ",attach=vhost",
          ",attach=vhost,queues=4,groups=per-pair,mac=02:00:00:00:00:10",
          ",attach=vhost,as=1,ctrl_vq=off",
          ",attach=vhost,as=2",
          ",profile=full,queue_size=64,as=1",
          ",attach=virtio,profile=full,queue_size=64,as=1",
          ",attach=vhost,queue_size=32768"})
        EXPECT_TRUE(limits(fine).empty()) << fine;
    const auto expect_line = [&](const std::string& keys, const std::string& part) {
        const auto lines = limits(",attach=vhost" + keys);
        ASSERT_EQ(lines.size(), 1U) << keys;
        EXPECT_TRUE(lines[0].starts_with("vd0: " + keys.substr(1) + ": ")) << lines[0];
        EXPECT_NE(lines[0].find(part), std::string::npos) << lines[0];
    };
    expect_line(",profile=full", "QEMU before 11");
    expect_line(",as=1", "two address spaces");
    expect_line(",queue_size=128", "256 entries");
    expect_line(",queue_size=256", "QEMU 10.0");
    expect_line(",queue_size=512", "QEMU 10.0");
    EXPECT_EQ(limits(",attach=vhost,profile=full,as=1,queue_size=2").size(), 3U);
}

TEST(Options, Stats) {
    EXPECT_EQ(parse("--device vd0 --stats 5")->stats_seconds, 5U);
    EXPECT_EQ(parse("--device vd0 --stats=5")->stats_seconds, 5U);
    for (const char* value : {"0", "x", "86401", "1.5"})
        expect_refused(
            std::string("--device vd0 --stats ") + value, {"--stats", value, "1 to 86400"}
        );
}

TEST(Options, Gro) {
    EXPECT_TRUE(parse("--device vd0")->gro);
    EXPECT_FALSE(parse("--device vd0 --gro 0")->gro);
    EXPECT_FALSE(parse("--device vd0 --gro=off")->gro);
    EXPECT_TRUE(parse("--device vd0 --gro on")->gro);
    expect_refused("--device vd0 --gro 2", {"--gro 2", "0, 1"});
}

TEST(Options, Idle) {
    EXPECT_EQ(parse("--device vd0 --idle-us 100")->idle_us, 100U);
    EXPECT_EQ(parse("--device vd0 --idle-us=0")->idle_us, 0U);
    EXPECT_EQ(parse("--device vd0")->idle_us, 0U);
    EXPECT_TRUE(parse("--take-over --device vd0")->take_over);
    EXPECT_FALSE(parse("--device vd0")->take_over);
    for (const char* value : {"-1", "x", "1000001"})
        expect_refused(
            std::string("--device vd0 --idle-us ") + value, {"--idle-us", value, "0 to 1000000"}
        );
}

TEST(Options, UnknownOptionsAndMissingValues) {
    expect_refused(
        "--foo",
        {"'--foo'",
         "--device, --port, --patch, --reflect, --bridge, --group-lcore, --config, --stats, "
         "--idle-us, --gro, --take-over, -h"}
    );
    expect_refused("--devices=vd0", {"'--devices'", "--device, "});
    expect_refused("vd0", {"'vd0'", "--device, "});
    expect_refused("--help=1", {"--help takes no value"});
    for (const char* option :
         {"--device",
          "--port",
          "--patch",
          "--reflect",
          "--bridge",
          "--config",
          "--stats",
          "--idle-us"})
        expect_refused(option, {option, "needs a value"});
}

TEST(Options, AtLeastOneDevice) {
    expect_refused("", {"--device"});
    expect_refused("--port net_tap0", {"--device"});
}

TEST(Options, HelpAndVersionNeedNothingElse) {
    EXPECT_TRUE(parse("-h")->help);
    EXPECT_TRUE(parse("--help")->help);
    EXPECT_TRUE(parse("-V")->version);
    EXPECT_TRUE(parse("--version --patch nothing")->version);
    EXPECT_FALSE(parse("-V")->help);
}

TEST(Options, LcoresOfGroups) {
    const auto options = parse(
        "--group-lcore vd1:0=7 --device vd0,queues=4,groups=per-pair --device vd1,queues=4 "
        "--group-lcore vd0:3=2 --group-lcore=vd0:0=1"
    );
    ASSERT_TRUE(options);
    using Lcores = std::map<uint16_t, unsigned>;
    EXPECT_EQ(options->devices[0].group_lcores, (Lcores{{0, 1}, {3, 2}}));
    EXPECT_EQ(options->devices[1].group_lcores, (Lcores{{0, 7}}));
}

TEST(Options, LcoresOfGroupsThatAreNotThere) {
    const std::string start =
        "--device vd0,queues=4,groups=per-pair --device vd1 --port p0 "
        "--group-lcore ";
    for (const char* form : {"vd0", "vd0:1", "vd0:1=", "vd0:=1", "vd0=1", ":"})
        expect_refused(start + form, {form, "must be NAME:GROUP=LCORE"});
    expect_refused(start + "vd2:0=1", {"'vd2' is not a --device"});
    expect_refused(start + "p0:0=1", {"'p0' is not a --device"});
    expect_refused(start + "vd0:4=1", {"the group must be 0 to 3", "vd0's data groups"});
    expect_refused(start + "vd1:1=1", {"the group must be 0 to 0"});
    expect_refused(start + "vd0:a=1", {"the group must be"});
    expect_refused(start + "vd0:0=-1", {"the lcore must be 0 to 1023"});
    expect_refused(start + "vd0:0=1 --group-lcore vd0:0=2", {"this group is given twice"});
}

TEST(Options, UsageNamesEveryKey) {
    const std::string usage = kUsage;
    for (const char* word : {"--device",    "--port",        "--patch",     "--reflect", "--bridge",
                             "age=",        "--config",      "--stats",     "--idle-us", "-h",
                             "-V",          "queues=",       "queue_size=", "mac=",      "mtu=",
                             "speed=",      "profile=",      "ctrl_vq=",    "groups=",   "as=",
                             "attach=",     "persist=",      "csum=",       "tso=",      "--gro",
                             "--take-over", "--group-lcore", "bounce=",     "age="})
        EXPECT_NE(usage.find(word), std::string::npos) << word;
}

}  // namespace
}  // namespace vduse::app
