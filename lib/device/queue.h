// SPDX-License-Identifier: BSD-3-Clause

// One virtqueue in service, and what a burst on it needs, together: a data thread touches these
// lines and the ring, and nothing of the session.
//
// Ring, rules and counters belong to whoever is inside the gate; control reads and changes the
// first two while the gate is closed and idle.
//
// Threads: what says "data threads", those; the rest control.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fd.h"
#include "base/log.h"
#include "net/counters.h"
#include "net/to_guest.h"
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
    int wake_fd = -1;  ///< an eventfd that calls control
    uapi::DeviceNode* node = nullptr;
    net::QueueRules rules{};
    ring::SplitRing ring;

    alignas(64) net::QueueCounters counters;

    /// Between the two sides, and rarely written.
    alignas(64) std::atomic<bool> needs_service = false;  ///< the ring has a miss or a fault
    /// The kernel could not interrupt the driver just then.
    std::atomic<bool> owes_interrupt = false;
    UniqueFd kick;  ///< of a from_guest queue: its data thread may sleep on it

    // Control's own:
    bool running = false;
    bool stalled = false;
    bool quarantined = false;
    bool adopted = false;           ///< its position is in its ring, and `started_at`
    ring::Position started_at;      ///< where its ring was when it started
    bool kick_armed_early = false;  ///< not ready yet, and its kicks wake control
    LinePace pace;                  ///< of lines about this queue
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

    /// After chains were completed, by the thread that did: the driver's interrupt, control's help.
    void finish_burst() noexcept;
    void notify_control() noexcept;
};

}  // namespace vduse::device
