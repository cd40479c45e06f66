// SPDX-License-Identifier: BSD-3-Clause

// EventLog: the last messages, as text and in order.
#include "device/requests.h"

#include <gtest/gtest.h>

namespace vduse::device {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using uapi::abi::Request;
using uapi::abi::RequestType;

Request request(RequestType type) {
    Request made{};
    made.type = static_cast<uint32_t>(type);
    return made;
}

std::string words(const Request& message) {
    EventLog log;
    log.record(message, true, {}, {});
    const auto list = log.list();
    return list.size() == 1 ? list[0].what : "not one event";
}

TEST(EventLog, IsEmptyAtFirst) {
    EXPECT_TRUE(EventLog().list().empty());
}

TEST(EventLog, KeepsTimesAndOutcome) {
    EventLog log;
    const auto time = steady_clock::now() - std::chrono::seconds(77);
    log.record(request(RequestType::suspend), true, time, nanoseconds(5));
    log.record(request(RequestType::suspend), false, time + nanoseconds(1000), nanoseconds(6));
    const auto list = log.list();
    ASSERT_EQ(list.size(), 2U);
    const auto ago = system_clock::now() - list[0].time;
    EXPECT_GE(ago, std::chrono::seconds(77));
    EXPECT_LT(ago, std::chrono::seconds(177));
    EXPECT_EQ(list[0].took, nanoseconds(5));
    EXPECT_TRUE(list[0].ok);
    EXPECT_EQ(list[1].time - list[0].time, nanoseconds(1000));
    EXPECT_FALSE(list[1].ok);
}

TEST(EventLog, KeepsTheLast64) {
    EventLog log;
    Request message = request(RequestType::get_vq_state);
    for (uint32_t i = 0; i < 100; ++i) {
        message.vq_state.index = i;
        log.record(message, true, {}, {});
    }
    const auto list = log.list();
    ASSERT_EQ(list.size(), 64U);
    EXPECT_EQ(list.front().what, "GET_VQ_STATE queue 36");
    EXPECT_EQ(list.back().what, "GET_VQ_STATE queue 99");
}

TEST(EventLog, SaysWhatWasAsked) {
    Request message = request(RequestType::set_status);
    message.status = 0xf;
    EXPECT_EQ(words(message), "SET_STATUS 0xf");
    message = request(RequestType::update_iotlb);
    message.iova = {0x1000, ~uint64_t{0}, 1, 0};
    EXPECT_EQ(words(message), "UPDATE_IOTLB asid 1 0x1000-0xffffffffffffffff");
    message = request(RequestType::set_vq_group_asid);
    message.vq_group_asid = {1, 2};
    EXPECT_EQ(words(message), "SET_VQ_GROUP_ASID group 1 asid 2");
    message = request(RequestType::set_vq_ready);
    message.vq_ready = {3, 1};
    EXPECT_EQ(words(message), "SET_VQ_READY queue 3 ready 1");
    EXPECT_EQ(words(request(RequestType::suspend)), "SUSPEND");
    EXPECT_EQ(words(request(RequestType{77})), "unknown message 77");
}

}  // namespace
}  // namespace vduse::device
