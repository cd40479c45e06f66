// SPDX-License-Identifier: BSD-3-Clause

// --take-over: which process is asked for its devices, and which is not.
#include "app/control/take_over.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>

#include "base/fd.h"
#include "persist/journal.h"
#include "support/golden.h"
#include "support/temporary_folder.h"
#include "vduse/info.h"

namespace vduse::test {
namespace {

class TakeOverTest : public testing::Test {
  protected:
    TemporaryFolder folder;

    [[nodiscard]] app::Options options() const {
        app::Options result;
        result.devices.resize(1);
        result.devices[0].config.name = "vd0";
        result.devices[0].config.journal_folder = folder.path();
        return result;
    }
};

/// A process that holds the journal of vd0 until this object is destroyed. SIGUSR2 would end it.
class Owner {
  public:
    Owner(const std::string& folder, bool supports_handover) {
        std::array<int, 2> ready{};
        std::array<int, 2> end{};
        EXPECT_TRUE(::pipe(ready.data()) == 0 && ::pipe(end.data()) == 0);
        pid_ = ::fork();
        char byte = 0;
        if (pid_ == 0) {
            ::close(end[1]);
            const auto journal = persist::Journal::open(folder, "vd0", supports_handover);
            (void)!::write(ready[1], "", 1);
            (void)!::read(end[0], &byte, 1);
            ::_exit(journal ? 0 : 1);
        }
        ::close(end[0]);
        ::close(ready[1]);
        end_ = UniqueFd(end[1]);
        EXPECT_EQ(::read(ready[0], &byte, 1), 1);
        ::close(ready[0]);
    }
    ~Owner() {
        end_ = UniqueFd();
        int status = -1;
        ::waitpid(pid_, &status, 0);
        EXPECT_EQ(status, 0) << "nobody sent it a signal";
    }
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

    [[nodiscard]] int number() const { return pid_; }
    [[nodiscard]] std::string pid() const { return "pid " + std::to_string(pid_); }

  private:
    pid_t pid_ = -1;
    UniqueFd end_;
};

TEST_F(TakeOverTest, WhereNobodyHasTheDevice) {
    EXPECT_TRUE(app::take_over(options()));
}

TEST_F(TakeOverTest, AProgramThatDoesNotHandOverIsNotAsked) {
    const Owner owner(folder.path(), false);
    const auto done = app::take_over(options());
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().what.find("vd0: " + owner.pid()), std::string::npos);
}

// Its journal is empty: it could release the device, but this process could not adopt it.
TEST_F(TakeOverTest, NorOneWhoseDeviceWeCouldNotGoOnWith) {
    const Owner owner(folder.path(), true);
    const auto done = app::take_over(options());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ENOENT);
}

// The owner exits after its PID was looked up and before pidfd_open. Its PID is now that of another
// process, which SIGUSR2 would end.
TEST_F(TakeOverTest, AStrangerWithThePidIsNotSignalled) {
    const Owner stranger(folder.path(), true);
    int asked = 0;
    const auto owner = [&](const DeviceConfig&) -> std::optional<DeviceOwner> {
        if (++asked > 1)
            return std::nullopt;
        return DeviceOwner{stranger.number(), true};
    };
    const auto done = app::take_over(options(), owner);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EAGAIN) << done.error().text();
    EXPECT_EQ(asked, 2);
}

TEST_F(TakeOverTest, NorOneWhoseJournalIsOfAnotherVersion) {
    const std::vector<uint8_t> bytes = golden("journal-2.hex");
    std::ofstream(folder.path() + "/vd0.journal", std::ios::binary)
        .write(
            reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())
        );
    const Owner owner(folder.path(), true);
    const auto done = app::take_over(options());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EPROTONOSUPPORT);
    EXPECT_NE(done.error().what.find("version 2"), std::string::npos) << done.error().what;
}

TEST_F(TakeOverTest, TheEndOfAPredecessorIsAwaited) {
    std::vector<app::Predecessor> predecessors(1);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::usleep(20'000);
        ::_exit(0);
    }
    predecessors[0].pid = pid;
    predecessors[0].process = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    ASSERT_TRUE(predecessors[0].process);
    EXPECT_TRUE(app::await_end(predecessors));
    EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), pid) << "it has ended";
}

}  // namespace
}  // namespace vduse::test
