// SPDX-License-Identifier: BSD-3-Clause

// The gate of a queue: control uses it to keep the data thread out of the queue (design.md, 2).
//
//   data thread:  busy = 1;  if open: work;  busy = 0
//   control:      open = 0;  membarrier;  wait until busy = 0;  change things;  open = 1
//
// The data thread's two stores and one load need no full fence. The barrier that is needed between
// the store of `busy` and the load of `open` is executed by control's membarrier(2), which
// interrupts every running thread of the process. A thread that entered before finishes its work;
// one that comes later finds the gate closed. Control does not depend on the data thread ever
// polling: data threads belong to the application and may pause indefinitely. Then the gate is
// simply idle.
//
// ThreadSanitizer does not know membarrier(2) and need not: the barrier only decides which of the
// two threads sees the other, and is executed in its builds as in any other. The memory behind the
// gate is ordered by two pairs that it knows: `leave` (release) before `idle` (acquire), and `open`
// before `enter` (acquire). So it checks the code that ships, without annotations or suppressions.
//
// Control may change what a data thread reads (ring, lookup table, filter) only while the gate is
// closed and idle.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include "vduse/result.h"

namespace vduse::sched {

class Gate {
  public:
    /// A burst takes microseconds. Several of these timeouts are still less than the kernel's 30 s.
    static constexpr std::chrono::milliseconds kTimeout = std::chrono::seconds(5);

    /// Registers the process for membarrier(2). Call it before the first `close`; cheap to repeat.
    static Result<void> prepare();

    /// Data thread: true when it may work, until `leave`. Not recursive, one thread at a time.
    [[nodiscard]] bool enter() noexcept {
        busy_.store(1, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        const bool open = open_.load(std::memory_order_acquire);
        if (!open)
            busy_.store(0, std::memory_order_release);
        return open;
    }
    void leave() noexcept { busy_.store(0, std::memory_order_release); }

    /// Control: lets data threads in. They see everything that control wrote before.
    void open() noexcept { open_.store(true, std::memory_order_seq_cst); }
    [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_relaxed); }

    /// Control: no data thread is inside. Meaningful only for a closed gate.
    [[nodiscard]] bool idle() const noexcept { return busy_.load(std::memory_order_acquire) == 0; }

    /// Control: closes the gates and waits at most `limit` until all are idle. If it returns false,
    /// the gates stay closed but a data thread is still inside: nothing that it reads may be
    /// changed or freed.
    [[nodiscard]] static bool close(
        std::span<Gate* const> gates, std::chrono::milliseconds limit = kTimeout
    );

  private:
    std::atomic<uint32_t> busy_ = 0;
    std::atomic<bool> open_ = false;
};

/// Enters a gate for a scope.
class Entered {
  public:
    explicit Entered(Gate& gate) noexcept : gate_(gate), open_(gate.enter()) {}
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered() {
        if (open_)
            gate_.leave();
    }
    explicit operator bool() const noexcept { return open_; }

  private:
    Gate& gate_;
    bool open_;
};

}  // namespace vduse::sched
