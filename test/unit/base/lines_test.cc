// SPDX-License-Identifier: BSD-3-Clause

// Log lines that nobody reads: posting them does not block (lib/base/lines.h).
#include "base/lines.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace vduse {
namespace {

using namespace std::chrono_literals;

/// A reader that can be stopped.
struct Reader {
    std::mutex mutex;
    std::condition_variable changed;
    bool stopped = false;
    bool writing = false;
    std::vector<std::string> read;
};
Reader reader;

void write(uint64_t /*tag*/, const std::string& text) {
    std::unique_lock lock(reader.mutex);
    reader.writing = true;
    reader.changed.notify_all();
    reader.changed.wait(lock, [] { return !reader.stopped; });
    reader.writing = false;
    reader.read.push_back(text);
}

class Lines : public testing::Test {
  protected:
    void SetUp() override { reader.read.clear(); }
    static void stop() {
        const std::lock_guard lock(reader.mutex);
        reader.stopped = true;
    }
    static void go_on() {
        const std::lock_guard lock(reader.mutex);
        reader.stopped = false;
        reader.changed.notify_all();
    }
    static void wait_until_stuck() {
        std::unique_lock lock(reader.mutex);
        reader.changed.wait(lock, [] { return reader.writing; });
    }
};

TEST_F(Lines, AreWrittenAtOnceBeforeThereIsAThread) {
    lines::post(write, 0, "one\n");
    EXPECT_EQ(reader.read, (std::vector<std::string>{"one\n"}));
}

TEST_F(Lines, KeepTheirOrder) {
    lines::start();
    std::vector<std::string> all;
    for (int i = 0; i < 1000; ++i)
        all.push_back(std::to_string(i));
    for (const auto& line : all)
        lines::post(write, 0, line);
    ASSERT_TRUE(lines::flush(1h));
    EXPECT_EQ(reader.read, all);
    EXPECT_EQ(lines::waiting(), 0U);
}

TEST_F(Lines, OfAStoppedReaderWait) {
    lines::start();
    stop();
    lines::post(write, 0, "first\n");
    wait_until_stuck();
    lines::post(write, 0, "second\n");  // must not block
    EXPECT_EQ(lines::waiting(), 13U);
    EXPECT_FALSE(lines::flush(0ms));
    go_on();
    ASSERT_TRUE(lines::flush(1h));
    EXPECT_EQ(reader.read, (std::vector<std::string>{"first\n", "second\n"}));
}

TEST_F(Lines, BeyondTheMostAreCounted) {
    lines::start();
    stop();
    lines::post(write, 0, "stuck");
    wait_until_stuck();
    const std::string big(lines::kMostWaiting / 4, 'x');
    for (int i = 0; i < 6; ++i)
        lines::post(write, 0, big);
    EXPECT_LE(lines::waiting(), lines::kMostWaiting);
    go_on();
    ASSERT_TRUE(lines::flush(1h));
    ASSERT_EQ(reader.read.size(), 5U);
    EXPECT_EQ(reader.read[1], big);
    EXPECT_EQ(reader.read[2], "3 lines were dropped because nobody read them\n");
}

}  // namespace
}  // namespace vduse
