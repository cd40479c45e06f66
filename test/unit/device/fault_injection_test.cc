// SPDX-License-Identifier: BSD-3-Clause

// Everything that can fail is made to fail at its N-th call, from Control::create to the driver's
// first frame and the end of the device (doc/hostile-cases.md, 142, 143). N increases until no call
// fails.
//
// Failures are injected in three places: the kernel's interface (support/fake_kernel.h); the libc
// calls that make mappings, eventfds and epolls, which this program overrides, so that calls by
// libnuma count too; and operator new. A failure in one of the first two is an error, or a queue
// that waits. A failure of operator new ends the process immediately with SIGABRT: there are no
// exceptions to recover with, and Linux kills a process before it refuses a few bytes.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <new>
#include <string>
#include <thread>

#include "support/session_rig.h"

namespace vduse::test {
namespace {

/// Which libc call fails next.
struct Injection {
    const char* name = "";  ///< "": none
    unsigned nth = 0;
    unsigned calls = 0;
    long mappings = 0;  ///< mmap minus munmap
    std::atomic<bool> clocks = false;
    std::atomic<unsigned> realtime = 0;
    std::atomic<unsigned> monotonic = 0;
};
constinit Injection injection;
constinit std::atomic<long> allocations_left = -1;  ///< of operator new; -1: no limit

bool fails(const char* name, int code) noexcept {
    if (std::strcmp(injection.name, name) != 0 || ++injection.calls != injection.nth)
        return false;
    errno = code;
    return true;
}

void* map(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
    if (fails("mmap", ENOMEM))
        return MAP_FAILED;
    ++injection.mappings;
    return reinterpret_cast<void*>(
        ::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset)
    );
}

}  // namespace
}  // namespace vduse::test

using vduse::test::allocations_left;
using vduse::test::fails;
using vduse::test::injection;

extern "C" {
// Our code is built with 64-bit file offsets and calls mmap64; libnuma calls mmap.
void* mmap_of_libraries(void* address, size_t bytes, int prot, int flags, int fd, off_t offset) asm(
    "mmap"
);
void* mmap_of_libraries(void* address, size_t bytes, int prot, int flags, int fd, off_t offset) {
    return vduse::test::map(address, bytes, prot, flags, fd, offset);
}
void* our_mmap(void* address, size_t bytes, int prot, int flags, int fd, off_t offset) asm("mmap64"
);
void* our_mmap(void* address, size_t bytes, int prot, int flags, int fd, off_t offset) {
    return vduse::test::map(address, bytes, prot, flags, fd, offset);
}
int munmap(void* address, size_t bytes) noexcept {
    --injection.mappings;
    return static_cast<int>(::syscall(SYS_munmap, address, bytes));
}
int eventfd(unsigned count, int flags) noexcept {
    return fails("eventfd", EMFILE) ? -1 : static_cast<int>(::syscall(SYS_eventfd2, count, flags));
}
int epoll_create1(int flags) noexcept {
    return fails("epoll_create1", EMFILE) ? -1
                                          : static_cast<int>(::syscall(SYS_epoll_create1, flags));
}
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    return fails("epoll_ctl", ENOMEM)
               ? -1
               : static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}
/// The wall clock jumps by an hour with every reading.
int clock_gettime(clockid_t clock, timespec* now) noexcept {
    const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, now));
    if (injection.clocks && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += (++injection.realtime % 2 == 0 ? 3600 : -3600);
    else if (injection.clocks)
        ++injection.monotonic;
    return result;
}
}

[[gnu::noinline]] void* operator new(size_t bytes) {
    void* memory = allocations_left == 0 ? nullptr : std::malloc(bytes);
    if (memory == nullptr)
        std::__throw_bad_alloc();  // as in libstdc++
    if (allocations_left > 0)
        --allocations_left;
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t /*bytes*/) noexcept {
    std::free(memory);
}

namespace vduse::test {
namespace {

class FaultInjection : public SessionTest {
  protected:
    FaultInjection() { control.reset(); }

    /// QEMU's start, with the control queue in its own space. Stops at the first refusal.
    bool start() {
        vd0->set_status(0);
        vd0->set_features(kWithMq);
        if (!vd0->set_status(0x08) || !vd0->set_group_asid(1, 1))
            return false;
        for (uint32_t i = 0; i < 4; ++i)
            set_up(i);
        set_up_shadow(4);
        vd0->unmap_all(0);
        vd0->unmap_all(1);
        vd0->map(0, guest);
        vd0->map(1, shadow);
        bool started = vd0->update_iotlb(1) && vd0->update_iotlb(0) && vd0->set_status(0x0c);
        for (const uint32_t i : {4U, 0U, 1U, 2U, 3U})
            started = started && vd0->set_ready(i);
        settle();
        return started;
    }
    /// Changes the link, sends a command, and passes frames on both pairs.
    bool works() {
        device->set_link(false);
        device->set_link(true);
        settle();
        return command(4, {4, 0, 2, 0}) == 0 && traffic(0) && traffic(1);
    }

    enum class End : uint8_t { refused, broken, late, working };

    /// Runs from Control::create to the end of the device. `late`: frames pass only after the
    /// driver restarts.
    End life() {
        const End end = [this] {
            auto created = Control::create(&kernel);
            if (!created) {
                EXPECT_FALSE(created.error().what.empty());
                return End::refused;
            }
            control = std::move(*created);
            if (const std::string error = create(); !error.empty()) {
                EXPECT_EQ(error.find("Success"), error.npos) << error;
                EXPECT_EQ(kernel.device("vd0"), nullptr) << "a device is left behind: " << error;
                return End::refused;
            }
            if (start() && works())
                return End::working;
            settle();
            if (device->broken())
                return End::broken;
            return start() && works() ? End::late : End::broken;
        }();
        const bool destroyed = device == nullptr || device->destroy();
        EXPECT_TRUE(destroyed || kernel.device("vd0") != nullptr);
        device.reset();
        control.reset();
        return end;
    }

    struct Held {
        ptrdiff_t fds;
        long mappings;
        size_t of_guest;
    };
    /// The resources that this process holds between two lives.
    Held held() {
        const auto fds = std::filesystem::directory_iterator("/proc/self/fd");
        return {
            std::distance(begin(fds), end(fds)),
            injection.mappings,
            mappings_of(guest.entries()[0].memory->fd()).size()};
    }
    /// Checks that the failure of the `nth` call of `what` leaked nothing: another life works.
    void expect_clean(const Held& before, const std::string& what, unsigned nth) {
        EXPECT_EQ(life(), End::working) << "after " << what << " " << nth;
        EXPECT_EQ(kernel.device("vd0"), nullptr);
        const Held after = held();
        EXPECT_EQ(after.fds, before.fds) << what << " " << nth;
        EXPECT_EQ(after.mappings, before.mappings) << what << " " << nth;
        EXPECT_EQ(after.of_guest, before.of_guest) << what << " " << nth;
    }
};

// Only a failure to read a request or to write its answer may break the device: then it cannot talk
// to the kernel.
TEST_F(FaultInjection, Case142_143_EveryCallFailsOnce) {
    ASSERT_EQ(life(), End::working);
    const Held before = held();
    const auto is_fatal = [](const std::string& method) {
        return method == "read_request" || method == "write_response";
    };
    for (const std::string method :
         {"open_control",
          "set_api_version",
          "get_features",
          "set_features",
          "create",
          "destroy",
          "open_device",
          "vq_setup",
          "read_request",
          "write_response",
          "iotlb_region",
          "driver_features",
          "set_config",
          "vq_info",
          "vq_kickfd",
          "inject_irq",
          "inject_config_irq"})
        for (unsigned nth = 1;; ++nth) {
            const unsigned calls = kernel.faults.calls(method);
            kernel.faults.fail(method, ENOMEM, nth);
            const End end = life();
            const bool failed = kernel.faults.calls(method) - calls >= nth;
            kernel.faults.fail(method, 0, 1, 0);
            if (!failed) {
                EXPECT_EQ(end, End::working);
                EXPECT_GT(nth, 1U) << method << " is not called at all";
                break;
            }
            EXPECT_TRUE(end != End::broken || is_fatal(method)) << method << " " << nth;
            expect_clean(before, method, nth);
        }
    for (const char* name : {"mmap", "eventfd", "epoll_create1", "epoll_ctl"})
        for (unsigned nth = 1;; ++nth) {
            injection.name = name;
            injection.calls = 0;
            injection.nth = nth;
            const End end = life();
            injection.name = "";
            if (injection.calls < nth) {
                EXPECT_EQ(end, End::working);
                EXPECT_GT(nth, 1U) << name << " is not called at all";
                break;
            }
            EXPECT_NE(end, End::broken) << name << " " << nth;
            expect_clean(before, name, nth);
        }
}

// Nothing is left half done and nobody waits: the process ends, and the kernel closes its files.
TEST_F(FaultInjection, Case142_WithoutHeapTheProcessEnds) {
    ASSERT_EQ(life(), End::working);
    unsigned ended = 0;
    for (long allocations = 0;; allocations += 1 + allocations / 16) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            // In its own thread: no frame above it catches exceptions.
            std::thread([&] {
                allocations_left = allocations;
                const End end = life();
                allocations_left = -1;
                ::_exit(end == End::working ? 0 : 1);
            }).join();
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            EXPECT_EQ(WEXITSTATUS(status), 0);
            break;
        }
        ASSERT_EQ(WTERMSIG(status), SIGABRT) << "allocation " << allocations;
        ++ended;
    }
    EXPECT_GT(ended, 20U);
}

TEST_F(FaultInjection, Case153_OnlyTheMonotonicClockIsRead) {
    injection.clocks = true;
    const End end = life();
    injection.clocks = false;
    EXPECT_EQ(end, End::working);
    EXPECT_EQ(injection.realtime, 0U);
    EXPECT_GT(injection.monotonic, 0U) << "nothing was seen";
}

}  // namespace
}  // namespace vduse::test
