// SPDX-License-Identifier: BSD-3-Clause

// The telemetry commands for a device on the fake kernel, called through DPDK's socket as
// dpdk-telemetry.py does. The test's thread is the control thread; the client is another one.
#include "app/report/telemetry.h"

#include <gtest/gtest.h>
#include <rte_lcore.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "app/report/stats_text.h"
#include "base/counter.h"
#include "base/fd.h"
#include "support/fake_kernel.h"
#include "support/guest_memory.h"
#include "support/mbufs.h"
#include "vduse/info.h"

namespace vduse::app {
namespace {

using test::FakeDevice;
using test::FakeKernel;

/// An EAL with telemetry and its own runtime folder.
class EalWithTelemetry final : public testing::Environment {
  public:
    static inline std::string folder = "/tmp/vduse-telemetry-XXXXXX";

    void SetUp() override {
        ASSERT_NE(::mkdtemp(folder.data()), nullptr);
        ASSERT_EQ(::setenv("RUNTIME_DIRECTORY", folder.c_str(), 1), 0);
        ASSERT_TRUE(test::start_eal({"-l", "0"})) << rte_strerror(rte_errno);
    }
    void TearDown() override {
        rte_eal_cleanup();
        std::error_code error;
        std::filesystem::remove_all(folder, error);
    }
};
const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new EalWithTelemetry);

/// Opens a connection and asks one question. Any thread may call it.
std::string ask_socket(const std::string& question) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = EalWithTelemetry::folder + "/dpdk/rte/dpdk_telemetry.v2";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const void* const place = &address;
    if (::connect(socket.get(), static_cast<const sockaddr*>(place), sizeof address) != 0)
        return "no connection to " + path;
    std::vector<char> buffer(65536);
    if (::recv(socket.get(), buffer.data(), buffer.size(), 0) <= 0)
        return "no greeting";
    if (::send(socket.get(), question.data(), question.size(), 0) < 0)
        return "not sent";
    const ssize_t bytes = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    return bytes > 0 ? std::string(buffer.data(), static_cast<size_t>(bytes)) : "no answer";
}

class TelemetryTest : public testing::Test {
  protected:
    FakeKernel kernel;
    test::GuestMemory guest;
    std::unique_ptr<Control> control;
    std::unique_ptr<Device> device;
    Endpoint endpoint;
    std::unique_ptr<Bridge> bridge;
    std::unique_ptr<Telemetry> telemetry;
    FakeDevice* vd0 = nullptr;

    TelemetryTest() {
        guest.add(0, 0xfffff);
        auto created = Control::create(&kernel);
        EXPECT_TRUE(created);
        control = std::move(*created);
        DeviceConfig config;
        config.name = "vd0";
        config.queue_pairs = 2;
        config.mac = {2, 0, 0, 0, 0, 7};
        auto added = control->add(config);
        EXPECT_TRUE(added);
        device = std::move(*added);
        vd0 = kernel.device("vd0");
        vd0->pump = [this] { control->run_once(0); };
        endpoint.name = "vd0";
        endpoint.set_device(*device);
        endpoint.set_queues(2);
        endpoint.lcores = {3, 3};
        auto made = Bridge::create("bridge0", std::vector<BridgeMember>(2), 1000);
        EXPECT_TRUE(made);
        bridge = std::move(*made);
        start();
    }
    ~TelemetryTest() override {
        telemetry.reset();
        device.reset();
        control.reset();
    }
    void start() {
        telemetry = std::make_unique<Telemetry>(
            [this] { control->wake(); },
            std::vector<const Endpoint*>{&endpoint},
            std::vector<const Bridge*>{bridge.get()},
            0
        );
    }
    /// Serves telemetry, as the main lcore does, until `asked` is complete.
    template <class T>
    T serve_until(std::future<T> asked) {
        while (asked.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
            control->run_once(1);
            telemetry->serve();
        }
        return asked.get();
    }
    std::string ask(const std::string& question) {
        return serve_until(std::async(std::launch::async, ask_socket, question));
    }
    /// Starts a driver without control queue, up to FEATURES_OK.
    void start_driver() {
        vd0->set_status(0);
        vd0->set_features(uint64_t{0x3} << 32 | uint64_t{1} << 3);
        EXPECT_TRUE(vd0->set_status(0x0b));
        vd0->map(0, guest);
        EXPECT_TRUE(vd0->update_iotlb(0));
        EXPECT_TRUE(vd0->set_group_asid(1, 1));
    }
    static void expect_parts(const std::string& answer, std::initializer_list<const char*> parts) {
        for (const char* part : parts)
            EXPECT_NE(answer.find(part), std::string::npos) << answer << "\n  without " << part;
    }
};

TEST_F(TelemetryTest, List) {
    EXPECT_EQ(ask("/vduse/list"), R"({"/vduse/list":["vd0"]})");
}

TEST_F(TelemetryTest, CommandsAreListedWithHelp) {
    const std::string commands = ask("/");
    for (const char* command :
         {"/vduse/list",
          "/vduse/info",
          "/vduse/stats",
          "/vduse/group",
          "/vduse/space",
          "/vduse/queue",
          "/vduse/events",
          "/vduse/bridge"}) {
        EXPECT_NE(commands.find(command), std::string::npos) << commands;
        EXPECT_NE(ask(std::string("/help,") + command).find("Parameters"), std::string::npos);
    }
}

TEST_F(TelemetryTest, Info) {
    start_driver();
    expect_parts(
        ask("/vduse/info,vd0"),
        {R"("name":"vd0")",
         R"("api_version":1,"kernel_features":["QUEUE_READY","SUSPEND"])",
         R"("status":"0xb","status_names":["ACKNOWLEDGE","DRIVER","FEATURES_OK"])",
         R"("features":"0x300000008","feature_names":["MTU","VERSION_1","ACCESS_PLATFORM"])",
         R"("link":"down","broken":"no","queue_pairs":2,"active_pairs":0)",
         R"("mac":"02:00:00:00:00:07","promiscuous":"yes")",
         R"("0":{"use":"data","asid":0,"first_queue":0,"last_queue":3,"lcore":3})",
         R"("1":{"use":"control","asid":1,"first_queue":4,"last_queue":4,"lcore":0})",
         R"("spaces":{"0":{"region_count":1,"regions":["0x0-0xfffff rw node )",
         R"("1":{"region_count":0,"regions":[]}})"}
    );
}

TEST_F(TelemetryTest, TheTextSaysTheSame) {
    start_driver();
    endpoint.dropped[1].add(4);
    const std::string block = device_block(endpoint, 0);
    EXPECT_TRUE(
        block.starts_with("vd0: link down, status 0xb, features 0x300000008, pairs 0 of 2\n"
                          "  group 0 data     asid 0  queues 0-3  lcore 3\n"
                          "  group 1 control  asid 1  queues 4-4  lcore 0\n"
                          "  space 0: 1 regions: 0x0-0xfffff rw node ")
    ) << block;
    EXPECT_TRUE(block.ends_with(
        "\n  space 1: 0 regions\n"
        "  pair 0: from_guest 0 frames 0 bytes 0 dropped, to_guest 0 frames 0 bytes 0 dropped\n"
        "  pair 1: from_guest 0 frames 0 bytes 0 dropped, to_guest 0 frames 0 bytes 4 dropped\n"
        "  control: 0 commands, 0 refused\n"
        "  mac 02:00:00:00:00:07, promisc on, allmulti off, 0 unicast, 0 multicast, 0 vlans\n"
    )) << block;
    endpoint.lcores = {LCORE_ID_ANY, LCORE_ID_ANY};
    expect_parts(device_block(endpoint, 0), {"queues 0-3  lcore none\n"});
}

TEST_F(TelemetryTest, Stats) {
    endpoint.dropped[0].add(3);
    endpoint.dropped[1].add(4);
    endpoint.merged[1].add(9);
    expect_parts(
        ask("/vduse/stats,vd0"),
        {R"("commands":0,"refused":0)",
         R"("from_guest":{"frames":0,"bytes":0,"dropped":0,"dropped_malformed":0,)",
         R"("dropped_no_room":0,"dropped_bad_csum":0,"dropped_bad_gso":0,"no_mbuf":0,"no_buffer":0,)",
         R"("interrupts":0,"misses":0,"csum":0,"large":0,"csum_done":0,"cut":0},"to_guest":{)",
         R"("not_taken":7,"merged":9}})"}
    );
}

TEST_F(TelemetryTest, Queue) {
    start_driver();
    EXPECT_TRUE(vd0->set_ready(1));
    expect_parts(
        ask("/vduse/queue,vd0,1"),
        {R"("name":"vd0","queue":1,"use":"from_guest","pair":0,"group":0,"asid":0,"ready":"yes")",
         R"("running":"no")",
         R"("stats":{"frames":0,)"}
    );
    expect_parts(ask("/vduse/queue,vd0,4"), {R"("use":"control","group":1,"asid":1,"ready":"no")"});
}

TEST_F(TelemetryTest, Events) {
    EXPECT_EQ(ask("/vduse/events,vd0"), R"({"/vduse/events":[]})");
    start_driver();
    EXPECT_FALSE(vd0->set_group_asid(9, 0));
    expect_parts(
        ask("/vduse/events,vd0"),
        {R"(Z SET_STATUS 0x0: ok, )", R"(Z SET_VQ_GROUP_ASID group 9 asid 0: failed, )", R"( us"])"}
    );
    for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(vd0->update_iotlb(1));
    const std::string full = ask("/vduse/events,vd0");
    EXPECT_EQ(full.find("SET_STATUS"), std::string::npos);
    size_t count = 0;
    for (size_t at = 0; (at = full.find("UPDATE_IOTLB", at)) != std::string::npos; ++at)
        ++count;
    EXPECT_EQ(count, 64U);
    EXPECT_TRUE(full.ends_with("us\"]}")) << "all of it fits";
}

TEST_F(TelemetryTest, ABridge) {
    EXPECT_EQ(
        ask("/vduse/bridge,bridge0"),
        R"({"/vduse/bridge":{"stations":0,"flooded":0,"returned":0,"moved":0,"not_learned":0,)"
        R"("too_short":0,"too_long":0,"no_mbuf":0,"link_local":0,"bad_source":0,"not_own":0}})"
    );
    EXPECT_EQ(
        bridge_line(*bridge),
        "bridge0: 0 stations, 0 flooded, 0 returned, 0 moved, 0 not learned, 0 too short, "
        "0 too long, 0 no mbuf, 0 link local, 0 bad source, 0 not own\n"
    );
}

TEST_F(TelemetryTest, BadParametersAreRefused) {
    for (const char* parameters : {"", ",", ",bridge", ",bridge1", ",bridge0,", ",vd0"})
        EXPECT_TRUE(ask(std::string("/vduse/bridge") + parameters).ends_with(":null}"));
    for (const char* command : {"/vduse/info", "/vduse/stats", "/vduse/events"}) {
        for (const char* parameters : {"", ",", ",vd1", ",vd", ",vd0,", ",vd0,1", ",vd0 "}) {
            const std::string answer = ask(std::string(command) + parameters);
            EXPECT_TRUE(answer.ends_with(":null}")) << command << parameters << ": " << answer;
        }
    }
    for (const char* parameters :
         {"",
          ",",
          ",vd0",
          ",vd0,",
          ",vd0,x",
          ",vd0,-1",
          ",vd0,1x",
          ",vd0,1,2",
          ",vd0,5",
          ",vd0,4294967296",
          ",vd1,0",
          ",,0"}) {
        const std::string answer = ask(std::string("/vduse/queue") + parameters);
        EXPECT_TRUE(answer.ends_with(":null}")) << parameters << ": " << answer;
    }
    EXPECT_TRUE(ask("/vduse/list,vd0").ends_with(":null}"));
    EXPECT_TRUE(ask("/vduse/info," + std::string(900, 'x')).ends_with(":null}"));
}

TEST_F(TelemetryTest, ManyRegionsAreCountedAndTheFirstListed) {
    const test::GuardedMemory pages(size_t{200} * 0x1000);
    for (memory::Iova at = 0; at < 200; ++at)
        vd0->map(0, at * 0x2000, at * 0x2000 + 0xfff, pages.fd(), at * 0x1000, 3);
    ASSERT_TRUE(vd0->update_iotlb(0));
    const std::string answer = ask("/vduse/info,vd0");
    expect_parts(answer, {R"("region_count":200)", R"("0x7e000-0x7efff rw)"});
    EXPECT_EQ(answer.find("0x80000-0x80fff"), std::string::npos);
    EXPECT_TRUE(answer.ends_with(R"("groups_left_out":0,"spaces_left_out":0}})")) << answer;
}

/// A device with as many groups and spaces as there can be, each space with 100 regions.
class TelemetryOfManyGroups : public TelemetryTest {
  protected:
    static constexpr uint32_t kPairs = 128;
    std::unique_ptr<Device> large;
    Endpoint wide;

    TelemetryOfManyGroups() {
        DeviceConfig config;
        config.name = "wide";
        config.queue_pairs = kPairs;
        config.groups = Groups::per_pair;
        auto added = control->add(config);
        EXPECT_TRUE(added);
        large = std::move(*added);
        FakeDevice& vd = *kernel.device("wide");
        vd.pump = [this] { control->run_once(0); };
        wide.name = "wide";
        wide.set_device(*large);
        wide.set_queues(kPairs);
        wide.group_per_pair = true;
        wide.lcores.assign(kPairs, 101);
        const test::GuardedMemory pages(size_t{100} * 0x1000);
        for (uint32_t asid = 0; asid <= kPairs; ++asid) {
            for (memory::Iova at = 0; at < 100; ++at)
                vd.map(
                    asid,
                    (at << 40) + at * 0x2000,
                    (at << 40) + at * 0x2000 + 0xfff,
                    pages.fd(),
                    at * 0x1000,
                    3
                );
            EXPECT_TRUE(vd.update_iotlb(asid));
        }
        telemetry.reset();
        telemetry = std::make_unique<Telemetry>(
            [this] { control->wake(); },
            std::vector<const Endpoint*>{&wide},
            std::vector<const Bridge*>{},
            0
        );
    }
    ~TelemetryOfManyGroups() override {
        telemetry.reset();
        large.reset();
    }
    static size_t count(const std::string& text, const std::string& part) {
        size_t found = 0;
        for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at)
            ++found;
        return found;
    }
};

TEST_F(TelemetryOfManyGroups, WhatDoesNotFitIsCounted) {
    const std::string answer = ask("/vduse/info,wide");
    EXPECT_LT(answer.size(), 16384U);
    EXPECT_EQ(count(answer, "{"), count(answer, "}")) << answer;
    EXPECT_EQ(count(answer, "\"use\""), kPairs + 1) << answer;
    const size_t spaces = count(answer, "\"region_count\":100");
    EXPECT_GE(spaces, 1U) << answer;
    EXPECT_LT(spaces, 10U) << "this device has more than fits";
    expect_parts(
        answer,
        {R"("groups_left_out":0)",
         ("\"spaces_left_out\":" + std::to_string(kPairs + 1 - spaces)).c_str()}
    );
}

TEST_F(TelemetryTest, ASpaceAloneListsMoreRegions) {
    const test::GuardedMemory pages(size_t{300} * 0x1000);
    constexpr memory::Iova kHigh = memory::Iova{0xf} << 60;
    for (memory::Iova at = 0; at < 300; ++at)
        vd0->map(0, kHigh + at * 0x2000, kHigh + at * 0x2000 + 0xfff, pages.fd(), at * 0x1000, 3);
    ASSERT_TRUE(vd0->update_iotlb(0));
    const std::string answer = ask("/vduse/space,vd0,0");
    EXPECT_LT(answer.size(), 16384U);
    expect_parts(answer, {R"("region_count":300)", R"("0xf0000000001fe000-0xf0000000001fefff rw)"});
    EXPECT_EQ(answer.find("0xf000000000200000"), std::string::npos) << "the first 256";
    EXPECT_TRUE(answer.ends_with("]}}")) << answer;
}

TEST_F(TelemetryOfManyGroups, EachGroupAndSpaceCanBeAskedFor) {
    EXPECT_EQ(
        ask("/vduse/group,wide,127"),
        R"({"/vduse/group":{"use":"data","asid":0,"first_queue":254,"last_queue":255,"lcore":101}})"
    );
    const std::string space = ask("/vduse/space,wide,128");
    EXPECT_EQ(count(space, " rw "), 100U) << space;
    EXPECT_LT(space.size(), 16384U);
    for (const char* command : {"/vduse/group", "/vduse/space"})
        for (const char* parameters :
             {"",
              ",",
              ",wide",
              ",wide,",
              ",wide,x",
              ",wide,-1",
              ",wide,1.",
              ",wide,1,2",
              ",wide,129",
              ",vd0,0"})
            EXPECT_TRUE(ask(std::string(command) + parameters).ends_with(":null}")) << parameters;
}

TEST_F(TelemetryTest, SeveralClientsAtOnce) {
    std::vector<std::future<std::string>> clients;
    clients.reserve(8);
    for (int i = 0; i < 8; ++i)
        clients.push_back(std::async(std::launch::async, ask_socket, "/vduse/queue,vd0,0"));
    for (auto& client : clients)
        expect_parts(serve_until(std::move(client)), {R"("use":"to_guest")"});
}

TEST_F(TelemetryTest, WithoutTheObjectThereIsNoAnswerButNoCrash) {
    telemetry.reset();
    EXPECT_TRUE(ask_socket("/vduse/list").ends_with(":null}"));
    EXPECT_TRUE(ask_socket("/vduse/info,vd0").ends_with(":null}"));
    start();
    EXPECT_EQ(ask("/vduse/list"), R"({"/vduse/list":["vd0"]})");
}

}  // namespace
}  // namespace vduse::app
