// SPDX-License-Identifier: BSD-3-Clause

// How a worker sleeps when nothing comes: on the kick eventfds of its device pairs, the rx
// interrupts of its ports, and an eventfd to be called by.
//
//     polling ──nothing for --idle-us──► arm ──► one more round ──► wait ──► disarm ──► polling
//                                         │            │
//                                something is there already
//
// Everything that can wake must be armed before the last look at it, and read, if it is to be read
// at all, before it is armed; the protocol for device pairs is lib/include/vduse/device.h's. Ports
// have no last look of their own: the round between `arm` and `wait` is it, for all of them.
//
// The file descriptor of a port's rx interrupt is an eventfd, which is read when it has woken us,
// or what the frames themselves wait behind (a tap's file), which is not ours to read.
//
// Threads: `watch_*` the main lcore, before the worker runs; `wake` and the counters any; the rest
// the worker.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/counter.h"
#include "base/fd.h"
#include "vduse/device.h"
#include "vduse/result.h"

namespace vduse::app {

class IdleWait {
  public:
    /// Of a worker that polls in vain for `timeout` before it sleeps.
    static Result<std::unique_ptr<IdleWait>> create(std::chrono::microseconds timeout);

    /// `in_service` false: the device is left alone.
    Result<void> watch_pair(const QueuePair& pair, const std::atomic<bool>& in_service);
    /// Code ENOTSUP: the port's driver has no rx interrupts, so whoever polls it cannot sleep.
    Result<void> watch_port(uint16_t port, uint16_t queue);

    /// There was something to do.
    void busy() noexcept { idle_since_ = 0; }
    /// There was nothing to do at `now` (TSC), and nothing for long enough.
    [[nodiscard]] bool idle_expired(uint64_t now) noexcept {
        if (idle_since_ == 0)
            idle_since_ = now;
        return now - idle_since_ >= timeout_;
    }

    /// From now on, what comes ends `wait`. false: something is there already, and nothing is
    /// armed.
    bool arm() noexcept;
    /// Sleeps for `timeout_ms` at most, -1: without a limit.
    void wait(int timeout_ms) noexcept;
    /// Behind an `arm` that returned true.
    void disarm() noexcept;

    void wake() noexcept { raise_eventfd(wake_.get()); }

    [[nodiscard]] uint64_t sleeps() const noexcept { return sleeps_.read(); }
    /// Sleeps that something ended, and not the time.
    [[nodiscard]] uint64_t wake_ups() const noexcept { return wake_ups_.read(); }

  private:
    struct Pair {
        QueuePair queues;
        const std::atomic<bool>* in_service;
    };
    struct PortQueue {
        uint16_t port;
        uint16_t queue;
    };

    IdleWait() = default;
    Result<void> watch(int fd, bool read);
    void disarm_pairs(size_t count) noexcept;

    uint64_t timeout_ = 0;     ///< in TSC cycles
    uint64_t idle_since_ = 0;  ///< 0: it was busy
    UniqueFd epoll_;
    UniqueFd wake_;
    std::vector<Pair> pairs_;
    std::vector<PortQueue> ports_;
    Counter sleeps_;
    Counter wake_ups_;
};

}  // namespace vduse::app
