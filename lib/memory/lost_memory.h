// SPDX-License-Identifier: BSD-3-Clause

// Guest memory whose file was truncated: confines the SIGBUS to the device that maps it.
//
// The owner of a memfd may truncate it while it is mapped. Our next access to a page after the new
// end raises SIGBUS, and no check can prevent that. So every mapping of guest memory is watched.
// The handler replaces the whole mapping that contains the fault by anonymous zero memory, marks it
// lost, and lets the thread continue. It wakes control, which takes the queues of that address
// space out of service until the driver resets the device (Queues::service).
//
// A SIGBUS anywhere else is passed to the handler that was installed before, or kills the process
// as usual.
//
// What a hostile driver could try: to kill a process that serves 64 devices. It only loses its own
// queues.
//
// Threads: control watches; the handler runs on any thread that touches guest memory. Slots are
// never freed, only reused, so that the handler may walk them without a lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vduse::memory {

/// Installs the handler on the first call. Sets the eventfd that it raises; -1: none.
void handle_lost_memory(int wake_fd) noexcept;

/// The number of mappings lost so far in this process.
uint64_t lost_mappings() noexcept;

/// Watches a mapping for its own lifetime. Nothing may use the mapping after that.
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
