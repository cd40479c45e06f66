// SPDX-License-Identifier: BSD-3-Clause

// ControlCalls: a function runs on the control thread or not at all.
#include "app/report/control_call.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace vduse::app {
namespace {

using std::chrono::milliseconds;

TEST(ControlCalls, ControlRunsIt) {
    std::atomic<bool> woken = false;
    ControlCalls calls([&] { woken = true; });
    std::thread::id run_by;
    auto result = std::async(std::launch::async, [&] {
        return calls.run([&] { run_by = std::this_thread::get_id(); });
    });
    while (result.wait_for(milliseconds(0)) != std::future_status::ready)
        calls.serve();
    EXPECT_TRUE(result.get());
    EXPECT_TRUE(woken);
    EXPECT_EQ(run_by, std::this_thread::get_id());
}

TEST(ControlCalls, SeveralCallAtOnce) {
    std::atomic<int> waiting = 0;
    ControlCalls calls([&] { ++waiting; });
    int runs = 0;
    const auto call = [&] { return calls.run([&] { ++runs; }); };
    auto first = std::async(std::launch::async, call);
    auto second = std::async(std::launch::async, call);
    while (waiting != 2)
        std::this_thread::yield();
    calls.serve();
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
    EXPECT_EQ(runs, 2);
}

TEST(ControlCalls, WhatItsCallerGaveUpIsNotRunLater) {
    ControlCalls calls([] {}, milliseconds(1));
    bool ran = false;
    EXPECT_FALSE(calls.run([&] { ran = true; }));
    calls.serve();
    EXPECT_FALSE(ran);
}

TEST(ControlCalls, ClosingLetsGoOfWhoeverWaits) {
    std::atomic<int> woken = 0;
    ControlCalls calls([&] { ++woken; });
    auto result = std::async(std::launch::async, [&] { return calls.run([] {}); });
    while (woken == 0)
        std::this_thread::yield();
    calls.close();
    EXPECT_FALSE(result.get());
    EXPECT_FALSE(calls.run([] {}));
    EXPECT_EQ(woken, 1) << "control may be gone";
}

}  // namespace
}  // namespace vduse::app
