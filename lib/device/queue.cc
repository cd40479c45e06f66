// SPDX-License-Identifier: BSD-3-Clause

// Bursts. The templates of net/ and the fast path of the ring are compiled together here, so that a
// burst of one frame does not pay for calls between them.
#include "device/queue.h"

#include <algorithm>
#include <cerrno>

#include "net/from_guest.h"
#include "net/to_guest.h"
#include "ring/split_burst.h"

namespace vduse::device {

uint16_t Queue::from_guest(
    rte_mempool* pool, std::span<rte_mbuf*> frames, const RxOptions& options
) noexcept {
    const sched::Entered entered(gate);
    // Most polls find nothing.
    if (!entered || ring.idle())
        return 0;
    const net::FromGuestRules burst{
        std::min(rules.longest, options.longest),
        options.linear,
        options.port,
        rules.offloads,
        options.large_buffers};
    const uint16_t count = net::from_guest(ring, pool, burst, frames, counters);
    finish_burst();
    return count;
}

uint16_t Queue::to_guest(std::span<rte_mbuf* const> frames) noexcept {
    const sched::Entered entered(gate);
    if (!entered || !in_use.load(std::memory_order_relaxed))
        return 0;
    const uint16_t count = net::to_guest(ring, rules, frames, counters);
    finish_burst();
    return count;
}

uint32_t Queue::waiting() noexcept {
    const sched::Entered entered(gate);
    return entered ? ring.waiting() : 0;
}

Offloads Queue::offloads() noexcept {
    const sched::Entered entered(gate);
    return entered && in_use.load(std::memory_order_relaxed) ? rules.offloads : Offloads();
}

bool Queue::arm() noexcept {
    const sched::Entered entered(gate);
    if (!entered || !ring.request_kick())
        return true;  // opening the gate raises `kick`
    ring.refuse_kicks();
    return false;
}

void Queue::disarm() noexcept {
    const sched::Entered entered(gate);
    if (entered)
        ring.refuse_kicks();
}

void Queue::finish_burst() noexcept {
    if (ring.should_interrupt()) {
        counters.interrupts.add(1);
        // EINVAL: the kernel has not recorded DRIVER_OK yet. Control tries again.
        if (node->inject_irq(index) == EINVAL) {
            owes_interrupt.store(true, std::memory_order_relaxed);
            notify_control();
        }
    }
    if (ring.needs_control())
        notify_control();
}

void Queue::notify_control() noexcept {
    if (needs_service.exchange(true, std::memory_order_release))
        return;
    raise_eventfd(wake_fd);
}

}  // namespace vduse::device
