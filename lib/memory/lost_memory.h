// SPDX-License-Identifier: BSD-3-Clause

// Guest memory whose file was cut off behind our back: SIGBUS, confined to the device that has it.
//
// Whoever owns a memfd may truncate it while it is mapped, and the next access of ours to a page
// behind the new end raises SIGBUS. No check can come before it. So every mapping of guest memory
// is watched: the handler replaces the whole mapping in which the fault lies by anonymous memory of
// zeros, marks it lost, and lets the thread go on. Control, which is woken, takes the queues of
// that space out of service until the driver resets the device (Queues::service).
//
// A SIGBUS anywhere else goes to the handler that was there before ours, or kills as it always did.
//
// What a hostile driver could try: to be the process in which 64 devices die. It loses its own
// queues.
//
// Threads: control watches; the handler runs on any thread that touches guest memory. Slots are
// never freed, only used again, so that the handler may walk them without a lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vduse::memory {

/// Installs the handler, the first time. From then on it raises the eventfd `wake_fd`; -1: none.
void handle_lost_memory(int wake_fd) noexcept;

/// How many mappings were lost so far in this process.
uint64_t lost_mappings() noexcept;

/// A mapping that is watched for as long as this lives. Nothing may use it beyond that.
class WatchedMapping {
  public:
    WatchedMapping() = default;
    WatchedMapping(void* start, size_t bytes);
    WatchedMapping(const WatchedMapping&) = delete;
    WatchedMapping& operator=(const WatchedMapping&) = delete;
    ~WatchedMapping();

    [[nodiscard]] bool lost() const noexcept {
        return slot_ != nullptr && slot_->lost.load(std::memory_order_acquire);
    }

    struct Slot {
        std::atomic<void*> start = nullptr;
        std::atomic<size_t> bytes = 0;  ///< 0: free
        std::atomic<bool> lost = false;
        Slot* next = nullptr;
    };

  private:
    Slot* slot_ = nullptr;
};

}  // namespace vduse::memory
