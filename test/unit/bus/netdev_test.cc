// SPDX-License-Identifier: BSD-3-Clause

// Uses a tap instead of virtio_vdpa's netdev, in the test's own network namespaces, and a folder
// instead of /sys. Tests that need a netdev with a virtio parent device are in test/vm.
#include "bus/netdev.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/temporary_folder.h"

namespace vduse::device {
namespace {

using namespace std::chrono_literals;
using bus::NetdevSearch;
using bus::open_netns;
using bus::place_netdev;
namespace fs = std::filesystem;

UniqueFd current_netns() {
    return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

std::string path_of(const UniqueFd& netns) {
    return "/proc/self/fd/" + std::to_string(netns.get());
}

UniqueFd make_tap(const char* name) {
    UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = IFF_TAP;
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return tap && ::ioctl(tap.get(), TUNSETIFF, &request) == 0 ? std::move(tap) : UniqueFd();
}

/// Makes two empty network namespaces. The thread is in `here_` until the test ends.
class Netdev : public ::testing::Test {
  protected:
    void SetUp() override {
        before_ = current_netns();
        if (::unshare(CLONE_NEWNET) != 0)
            GTEST_SKIP() << "no right to make network namespaces: " << std::strerror(errno);
        there_ = current_netns();
        ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
        here_ = current_netns();
        tap_ = make_tap("tap0");
        if (!tap_)
            GTEST_SKIP() << "no tap: " << std::strerror(errno);
        search_.devices = sysfs_.path();
        search_.timeout = 0ms;
    }
    ~Netdev() override {
        if (there_) {
            EXPECT_EQ(::setns(before_.get(), CLONE_NEWNET), 0);
        }
    }

    /// Makes sysfs show netdev `name` with index `index` as that of vd0.
    void show(const std::string& name, unsigned index) const {
        const fs::path folder = fs::path(sysfs_.path()) / "vd0/virtio3/net" / name;
        fs::create_directories(folder);
        std::ofstream(folder / "ifindex") << index << '\n';
    }
    void show_tap() const { show("tap0", ::if_nametoindex("tap0")); }
    /// Whether `there_` has a netdev `name`.
    [[nodiscard]] bool is_there(const char* name) const {
        EXPECT_EQ(::setns(there_.get(), CLONE_NEWNET), 0);
        const bool found = ::if_nametoindex(name) != 0;
        EXPECT_EQ(::setns(here_.get(), CLONE_NEWNET), 0);
        return found;
    }
    [[nodiscard]] Result<void> place(const std::string& name, const std::string& netns) const {
        return place_netdev("vd0", name, netns, search_);
    }

    test::TemporaryFolder sysfs_;
    NetdevSearch search_;
    UniqueFd before_;
    UniqueFd there_;
    UniqueFd here_;
    UniqueFd tap_;
};

TEST_F(Netdev, IsRenamed) {
    show_tap();
    const auto done = place("eth7", "");
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_EQ(::if_nametoindex("tap0"), 0U);
    EXPECT_NE(::if_nametoindex("eth7"), 0U);
}

TEST_F(Netdev, IsMovedWithItsName) {
    show_tap();
    const auto done = place("", path_of(there_));
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_EQ(::if_nametoindex("tap0"), 0U);
    EXPECT_TRUE(is_there("tap0"));
}

TEST_F(Netdev, IsMovedAndRenamedAtOnce) {
    show_tap();
    const auto done = place("eth7", path_of(there_));
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_EQ(::if_nametoindex("tap0"), 0U);
    EXPECT_TRUE(is_there("eth7"));
    EXPECT_FALSE(is_there("tap0"));
}

TEST_F(Netdev, MayBeWhereItIsToBe) {
    show_tap();
    EXPECT_TRUE(place("tap0", ""));
    EXPECT_TRUE(place("tap0", path_of(here_)));
    EXPECT_TRUE(place("", ""));
    EXPECT_NE(::if_nametoindex("tap0"), 0U);
}

TEST_F(Netdev, ANameThatIsTakenIsNamedWithTheReason) {
    const UniqueFd other = make_tap("eth7");
    ASSERT_TRUE(other);
    show_tap();
    const auto done = place("eth7", "");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EEXIST);
    EXPECT_NE(done.error().what.find("netdev tap0: rename it to eth7"), std::string::npos)
        << done.error().text();
}

TEST_F(Netdev, IsWaitedFor) {
    search_.timeout = 20s;
    std::thread later([this, index = ::if_nametoindex("tap0")] {
        std::this_thread::sleep_for(50ms);
        fs::create_directories(fs::path(sysfs_.path()) / "vd0/virtio3");
        std::this_thread::sleep_for(50ms);
        show("tap0", index);
    });
    const auto done = place("eth7", "");
    later.join();
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_NE(::if_nametoindex("eth7"), 0U);
}

TEST_F(Netdev, NothingIsDoneToAnotherOneOfTheSameNumber) {
    show("eth0", ::if_nametoindex("tap0"));
    const auto done = place("eth7", "");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ETIMEDOUT);
    EXPECT_NE(::if_nametoindex("tap0"), 0U);
}

TEST_F(Netdev, ThoseInTheNamespaceThatAreNotOursAreLeftAlone) {
    fs::create_directories(fs::path(sysfs_.path()) / "vd0/virtio3/net");
    ASSERT_EQ(::setns(there_.get(), CLONE_NEWNET), 0);
    const UniqueFd other = make_tap("eth7");
    ASSERT_EQ(::setns(here_.get(), CLONE_NEWNET), 0);
    ASSERT_TRUE(other);
    const auto done = place("eth7", path_of(there_));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ETIMEDOUT);
    EXPECT_NE(done.error().what.find("virtio_net"), std::string::npos) << done.error().text();
    EXPECT_EQ(current_netns() ? ::if_nametoindex("eth7") : 1U, 0U) << "this thread has moved";
    EXPECT_TRUE(is_there("eth7"));
}

// Tests that need no privileges.

TEST(NetdevSearch, NoVirtioDevice) {
    const test::TemporaryFolder sysfs;
    const auto done = place_netdev("vd0", "eth7", "", {30ms, sysfs.path()});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ETIMEDOUT);
    EXPECT_NE(done.error().what.find("vd0: no virtio device"), std::string::npos);
    EXPECT_NE(done.error().what.find("virtio_vdpa"), std::string::npos);
}

TEST(NetdevSearch, NamespacesThatAreNone) {
    const auto name = open_netns("no-such-namespace");
    ASSERT_FALSE(name);
    EXPECT_EQ(name.error().code, ENOENT);
    EXPECT_NE(name.error().what.find("/run/netns/no-such-namespace"), std::string::npos);
    for (const char* path : {"/dev/null", "/proc/self/ns/uts"}) {
        const auto other = open_netns(path);
        ASSERT_FALSE(other) << path;
        EXPECT_EQ(other.error().code, EINVAL);
        EXPECT_NE(other.error().what.find(path), std::string::npos);
    }
    EXPECT_TRUE(open_netns("/proc/self/ns/net"));
    const auto done = place_netdev("vd0", "", "no-such-namespace", {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ENOENT);
}

}  // namespace
}  // namespace vduse::device
