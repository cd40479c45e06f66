// SPDX-License-Identifier: BSD-3-Clause

// The gate of a queue: how control gets a data thread out of the way (design.md, 2).
//
//   data thread:  busy = 1;  if open: work;  busy = 0
//   control:      open = 0;  membarrier;  wait until busy = 0;  change things;  open = 1
//
// The data thread's two stores and one load are plain: the barrier that the store of `busy` and the
// load of `open` need between them is executed for it by control's membarrier(2), which interrupts
// every running thread of the process. A thread that entered before sees its work through; one that
// comes later finds the gate closed. Nothing needs the data thread to come at all, for data threads
// belong to strangers who may pause for ever: then the gate is simply idle.
//
// ThreadSanitizer knows nothing of membarrier(2), and need not: the barrier decides which of the
// two sees the other, and is executed in its builds as in any. What orders the plain memory behind
// the gate are two pairs that it does know, `leave` (release) before `idle` (acquire), and `open`
// before `enter` (acquire). So it checks the code that ships, and nothing here is told to it or
// hidden from it.
//
// What must happen while a gate is closed and idle: everything that control does to what a data
// thread reads, i.e. ring, lookup table, filter.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include "vduse/result.h"

namespace vduse::sched {

class Gate {
  public:
    /// A burst takes microseconds. Several times this is still less than the kernel's 30 s.
    static constexpr std::chrono::milliseconds kTimeout = std::chrono::seconds(5);

    /// Registers the process for membarrier(2). Once, before the first `close`; cheap to repeat.
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

    /// Control: lets data threads in, who then see all that control wrote before.
    void open() noexcept { open_.store(true, std::memory_order_seq_cst); }
    [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_relaxed); }

    /// Control: no data thread is inside. Meaningful only for a closed gate.
    [[nodiscard]] bool idle() const noexcept { return busy_.load(std::memory_order_acquire) == 0; }

    /// Control: closes the gates and waits until all are idle, for `limit` at most. On false the
    /// gates stay closed, but a data thread is still inside: nothing that it reads may change or go
    /// away.
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
