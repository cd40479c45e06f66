// Inquiries: a question is answered by control's thread, or not at all.
#include "app/report/control_call.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace vduse::app {
namespace {

using std::chrono::milliseconds;

TEST(Inquiries, ControlAnswers) {
    std::atomic<bool> woken = false;
    Inquiries inquiries([&] { woken = true; });
    std::thread::id answered_by;
    auto asked = std::async(std::launch::async, [&] {
        return inquiries.ask([&] { answered_by = std::this_thread::get_id(); });
    });
    while (asked.wait_for(milliseconds(0)) != std::future_status::ready)
        inquiries.serve();
    EXPECT_TRUE(asked.get());
    EXPECT_TRUE(woken);
    EXPECT_EQ(answered_by, std::this_thread::get_id());
}

TEST(Inquiries, SeveralAskAtOnce) {
    std::atomic<int> waiting = 0;
    Inquiries inquiries([&] { ++waiting; });
    int answers = 0;
    const auto ask = [&] { return inquiries.ask([&] { ++answers; }); };
    auto first = std::async(std::launch::async, ask);
    auto second = std::async(std::launch::async, ask);
    while (waiting != 2)
        std::this_thread::yield();
    inquiries.serve();
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
    EXPECT_EQ(answers, 2);
}

TEST(Inquiries, WhoGaveUpIsNotAnsweredLater) {
    Inquiries inquiries([] {}, milliseconds(1));
    bool answered = false;
    EXPECT_FALSE(inquiries.ask([&] { answered = true; }));
    inquiries.serve();
    EXPECT_FALSE(answered);
}

TEST(Inquiries, ClosingLetsGoOfWhoeverWaits) {
    std::atomic<int> woken = 0;
    Inquiries inquiries([&] { ++woken; });
    auto asked = std::async(std::launch::async, [&] { return inquiries.ask([] {}); });
    while (woken == 0)
        std::this_thread::yield();
    inquiries.close();
    EXPECT_FALSE(asked.get());
    EXPECT_FALSE(inquiries.ask([] {}));
    EXPECT_EQ(woken, 1) << "control may be gone";
}

}  // namespace
}  // namespace vduse::app
