// SPDX-License-Identifier: BSD-3-Clause

// How it works: see idle.h. All descriptors are level-triggered, so an event that one turn does not
// handle ends the next sleep at once.
#include "app/datapath/idle.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

namespace vduse::app {
namespace {

constexpr int kNothingToRead = -1;

bool is_eventfd(int fd) {
    std::array<char, 64> target{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    return ::readlink(link.c_str(), target.data(), target.size() - 1) > 0 &&
           std::string_view(target.data()) == "anon_inode:[eventfd]";
}

}  // namespace

Result<std::unique_ptr<IdleWait>> IdleWait::create(std::chrono::microseconds timeout) {
    std::unique_ptr<IdleWait> idle_wait(new IdleWait);
    constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;
    idle_wait->timeout_ =
        static_cast<uint64_t>(timeout.count()) * rte_get_tsc_hz() / kMicrosecondsPerSecond;
    idle_wait->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    idle_wait->wake_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!idle_wait->epoll_ || !idle_wait->wake_)
        return Error{errno, "epoll and eventfd"};
    if (auto watched = idle_wait->watch(idle_wait->wake_.get(), true); !watched)
        return watched.error();
    return idle_wait;
}

Result<void> IdleWait::watch(int fd, bool read) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = read ? fd : kNothingToRead;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
        return Error{errno, "epoll"};
    return {};
}

Result<void> IdleWait::watch_pair(const QueuePair& pair, const std::atomic<bool>& in_service) {
    if (auto watched = watch(pair.kick_fd(), true); !watched)
        return watched;
    pairs_.push_back({pair, &in_service});
    return {};
}

Result<void> IdleWait::watch_port(uint16_t port, uint16_t queue) {
    const int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue);
    const bool eventfd = fd >= 0 && is_eventfd(fd);
    // A descriptor that is not an eventfd (a tap's file) wakes without an interrupt to enable.
    const int enabled = fd < 0 ? -ENOTSUP : rte_eth_dev_rx_intr_enable(port, queue);
    if (fd < 0 || (enabled != 0 && (enabled != -ENOTSUP || eventfd)))
        return Error{ENOTSUP, "no rx interrupts"};
    (void)rte_eth_dev_rx_intr_disable(port, queue);
    if (auto watched = watch(fd, eventfd); !watched)
        return watched;
    ports_.push_back({port, queue});
    return {};
}

bool IdleWait::arm() noexcept {
    for (size_t i = 0; i < pairs_.size(); ++i) {
        const Pair& pair = pairs_[i];
        if (!pair.in_service->load(std::memory_order_relaxed) || pair.queues.arm_from_guest())
            continue;
        disarm_pairs(i);
        busy();
        return false;
    }
    for (const PortQueue& port : ports_)
        (void)rte_eth_dev_rx_intr_enable(port.port, port.queue);
    return true;
}

void IdleWait::wait(int timeout_ms) noexcept {
    std::array<epoll_event, 16> events;
    sleeps_.add(1);
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    if (count == 0)
        return;
    wake_ups_.add(1);
    busy();
    for (int i = 0; i < count; ++i) {
        uint64_t calls = 0;
        if (const int fd = events[static_cast<size_t>(i)].data.fd; fd != kNothingToRead)
            (void)!::read(fd, &calls, sizeof calls);
    }
}

void IdleWait::disarm() noexcept {
    disarm_pairs(pairs_.size());
    for (const PortQueue& port : ports_)
        (void)rte_eth_dev_rx_intr_disable(port.port, port.queue);
}

void IdleWait::disarm_pairs(size_t count) noexcept {
    for (size_t i = 0; i < count; ++i)
        if (pairs_[i].in_service->load(std::memory_order_relaxed))
            pairs_[i].queues.disarm_from_guest();
}

}  // namespace vduse::app
