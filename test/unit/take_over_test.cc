// --take-over: who is asked for the devices, and who is not.
#include "take_over.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/fd.h"
#include "device/journal.h"
#include "support/temporary_folder.h"

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

/// A process that has the journal of vd0, until it is let go. SIGUSR2 would end it.
class Holder {
  public:
    Holder(const std::string& folder, bool hands_over) {
        std::array<int, 2> ready{};
        std::array<int, 2> end{};
        EXPECT_TRUE(::pipe(ready.data()) == 0 && ::pipe(end.data()) == 0);
        pid_ = ::fork();
        char byte = 0;
        if (pid_ == 0) {
            ::close(end[1]);
            const auto journal = device::Journal::open(folder, "vd0", hands_over);
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
    ~Holder() {
        end_ = UniqueFd();
        int status = -1;
        ::waitpid(pid_, &status, 0);
        EXPECT_EQ(status, 0) << "nobody sent it a signal";
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

    [[nodiscard]] std::string pid() const { return "pid " + std::to_string(pid_); }

  private:
    pid_t pid_ = -1;
    UniqueFd end_;
};

TEST_F(TakeOverTest, WhereNobodyHasTheDevice) {
    EXPECT_TRUE(app::take_over(options()));
}

TEST_F(TakeOverTest, AProgramThatDoesNotHandOverIsNotAsked) {
    const Holder holder(folder.path(), false);
    const auto done = app::take_over(options());
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().what.find("vd0: " + holder.pid()), std::string::npos);
}

// Its journal is empty: it could give us the device, and we could not go on with it.
TEST_F(TakeOverTest, NorOneWhoseDeviceWeCouldNotGoOnWith) {
    const Holder holder(folder.path(), true);
    const auto done = app::take_over(options());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ENOENT);
}

TEST_F(TakeOverTest, VdevsAreWithheldFromTheEal) {
    std::string words[] = {
        "vduse-dp", "--vdev", "net_tap0,iface=a", "-l", "0-1", "--vdev=net_tap1"};
    std::vector<char*> eal;
    for (std::string& word : words)
        eal.push_back(word.data());
    EXPECT_EQ(app::withhold_vdevs(eal), (std::vector<std::string>{"net_tap0,iface=a", "net_tap1"}));
    ASSERT_EQ(eal.size(), 3U);
    EXPECT_STREQ(eal[1], "-l");
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    std::string last = "--vdev";
    eal.push_back(last.data());
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    EXPECT_EQ(eal.size(), 4U) << "without a value: the EAL complains";
}

}  // namespace
}  // namespace vduse::test
