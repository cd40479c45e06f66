// SPDX-License-Identifier: BSD-3-Clause

// One virtqueue in service, with everything that a burst on it needs: a data thread touches these
// cache lines and the ring, and nothing of the session.
//
// Ring, rules and counters belong to the thread inside the gate. Control reads and changes the ring
// and the rules while the gate is closed and idle.
//
// Threads: data threads where noted, otherwise control.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fd.h"
#include "base/log.h"
#include "net/counters.h"
#include "net/rules.h"
#include "ring/split.h"
#include "sched/gate.h"
#include "uapi/kernel.h"
#include "vduse/config.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse::device {

struct alignas(64) Queue {
    sched::Gate gate;
    /// to_guest: the driver uses this pair.
    std::atomic<bool> in_use = false;
    uint32_t index = 0;
    int wake_fd = -1;  ///< an eventfd that wakes control
    uapi::DeviceNode* node = nullptr;
    net::QueueRules rules{};
    ring::SplitRing ring;

    alignas(64) net::QueueCounters counters;

    // Shared by data threads and control, and rarely written.
    /// The ring has a miss or a fault, or an interrupt is owed.
    alignas(64) std::atomic<bool> needs_service = false;
    /// The kernel could not interrupt the driver.
    std::atomic<bool> owes_interrupt = false;
    UniqueFd kick;  ///< of a from_guest queue: its data thread may sleep on it

    // For control only:
    bool running = false;
    bool stalled = false;
    bool quarantined = false;
    bool adopted = false;           ///< its position is that of its ring and `started_at`
    ring::Position started_at;      ///< the position of its ring when it started
    bool kick_armed_early = false;  ///< it is not ready yet, and its kicks wake control
    LinePace pace;                  ///< of log lines about this queue
    std::optional<uapi::abi::VqInfo> layout_at_start;  ///< the ring's position belongs to this

    /// Data threads, of a from_guest queue.
    uint16_t from_guest(
        rte_mempool* pool, std::span<rte_mbuf*> frames, const RxOptions& options
    ) noexcept;
    bool arm() noexcept;
    void disarm() noexcept;
    /// Data threads, of a to_guest queue.
    uint16_t to_guest(std::span<rte_mbuf* const> frames) noexcept;
    /// Data threads.
    uint32_t waiting() noexcept;
    /// Data threads, of a to_guest queue.
    Offloads offloads() noexcept;

    /// The thread that has completed chains: interrupts the driver and wakes control, if needed.
    void finish_burst() noexcept;
    void notify_control() noexcept;
};

}  // namespace vduse::device
