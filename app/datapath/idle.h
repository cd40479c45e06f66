// SPDX-License-Identifier: BSD-3-Clause

// How an idle worker sleeps: it waits for the kick eventfds of its device pairs, the rx interrupts
// of its ports, and an eventfd of its own, for `wake`.
//
//     polling ──nothing for --idle-us──► arm ──► one more round ──► wait ──► disarm ──► polling
//                                         │            │
//                                 there is work already
//
// Each wake-up source must be armed before it is checked for the last time. A source that must be
// read is read before it is armed. The protocol for device pairs is in lib/include/vduse/device.h.
// Ports have no last check of their own: the round between `arm` and `wait` is the last check for
// all of them.
//
// The file descriptor of a port's rx interrupt is either an eventfd, which is read after a wake-up,
// or the file that the frames come from (a tap's). Only the port's driver may read that file.
//
// Threads: `watch_*` on the main lcore, before the worker runs; `wake` and the counters on any
// thread; the rest on the worker.
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
    /// For a worker that polls without work for `timeout` before it sleeps.
    static Result<std::unique_ptr<IdleWait>> create(std::chrono::microseconds timeout);

    /// While `in_service` is false, the device is left alone.
    Result<void> watch_pair(const QueuePair& pair, const std::atomic<bool>& in_service);
    /// Code ENOTSUP: the port's driver has no rx interrupts, so the worker cannot sleep.
    Result<void> watch_port(uint16_t port, uint16_t queue);

    /// There was something to do.
    void busy() noexcept { idle_since_ = 0; }
    /// There was nothing to do at `now` (TSC). Returns whether that was so for long enough.
    [[nodiscard]] bool idle_expired(uint64_t now) noexcept {
        if (idle_since_ == 0)
            idle_since_ = now;
        return now - idle_since_ >= timeout_;
    }

    /// From now on, new work ends `wait`. Returns false if there is work already; then nothing is
    /// armed.
    bool arm() noexcept;
    /// Sleeps for at most `timeout_ms`; -1: without a limit.
    void wait(int timeout_ms) noexcept;
    /// After an `arm` that returned true.
    void disarm() noexcept;

    void wake() noexcept { raise_eventfd(wake_.get()); }

    [[nodiscard]] uint64_t sleeps() const noexcept { return sleeps_.read(); }
    /// Sleeps that ended before their timeout.
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
