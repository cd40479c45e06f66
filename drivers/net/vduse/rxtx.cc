// SPDX-License-Identifier: BSD-3-Clause

#include "rxtx.h"

#include <rte_errno.h>
#include <rte_ether.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "base/fd.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::pmd {
namespace {

/// Calls `each` for every pair of `queue`.
template <class Each>
void for_each_pair(const RxQueue& queue, Each each) noexcept {
    for (unsigned pair = queue.index; pair < queue.port->queue_pairs.size(); pair += queue.stride)
        each(static_cast<uint16_t>(pair));
}

/// The pair that comes after `pair`, round and round.
uint16_t pair_after(const RxQueue& queue, uint16_t pair) noexcept {
    const unsigned next = unsigned{pair} + queue.stride;
    return next < queue.port->queue_pairs.size() ? static_cast<uint16_t>(next) : queue.index;
}

/// Calls `burst(first, count)` for parts of at most kMaxBurst, until one is not taken completely.
/// Returns the number of frames taken.
template <class Burst>
uint16_t in_parts(uint16_t count, Burst burst) noexcept {
    uint16_t done = 0;
    while (done < count) {
        const auto part = std::min<uint16_t>(kMaxBurst, static_cast<uint16_t>(count - done));
        const uint16_t now = burst(done, part);
        done = static_cast<uint16_t>(done + now);
        if (now < part)
            break;
    }
    return done;
}

bool wanted_vlan(const Port& port, uint16_t tci) noexcept {
    const uint16_t vlan = tci & kMaxVlan;
    return (port.vlans[vlan / 64].load(std::memory_order_relaxed) >> vlan % 64 & 1) != 0;
}

void strip_tag(rte_mbuf& frame) noexcept {
    rte_vlan_strip(&frame);
    // Adjust the header lengths of an unfinished frame.
    if (frame.l2_len > sizeof(rte_vlan_hdr))
        frame.l2_len = (frame.l2_len - sizeof(rte_vlan_hdr)) & 0x7f;
    if ((frame.packet_type & RTE_PTYPE_L2_MASK) == RTE_PTYPE_L2_ETHER_VLAN)
        frame.packet_type ^= RTE_PTYPE_L2_ETHER_VLAN ^ RTE_PTYPE_L2_ETHER;
}

/// Strips tags, and drops frames of VLANs that are filtered out. Returns how many frames are left.
uint16_t look_at_tags(
    const Port& port, std::span<rte_mbuf*> frames, QueueCounters& counters
) noexcept {
    const bool strip = port.vlan_strip.load(std::memory_order_relaxed);
    const bool filter = port.vlan_filter.load(std::memory_order_relaxed);
    uint16_t left = 0;
    for (rte_mbuf* frame : frames) {
        const auto* ethernet = rte_pktmbuf_mtod(frame, const rte_ether_hdr*);
        constexpr size_t kTagged = sizeof(rte_ether_hdr) + sizeof(rte_vlan_hdr);
        const bool tagged = frame->data_len >= kTagged &&
                            ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
        if (tagged && filter) {
            const auto* tag = reinterpret_cast<const rte_vlan_hdr*>(ethernet + 1);
            if (!wanted_vlan(port, rte_be_to_cpu_16(tag->vlan_tci))) {
                counters.vlan_filtered.add(1);
                counters.vlan_filtered_bytes.add(frame->pkt_len);
                rte_pktmbuf_free(frame);
                continue;
            }
        }
        if (tagged && strip)
            strip_tag(*frame);
        frames[left++] = frame;
    }
    return left;
}

/// Inserts tags into the frames that request one. Returns how many of the first frames may be
/// sent; the tag of the next one could not be inserted.
uint16_t put_tags(std::span<rte_mbuf*> frames) noexcept {
    uint16_t good = 0;
    for (rte_mbuf*& frame : frames) {
        if ((frame->ol_flags & RTE_MBUF_F_TX_VLAN) != 0 && rte_vlan_insert(&frame) != 0)
            break;
        ++good;
    }
    return good;
}

/// Receives from one pair into `frames`, at most kMaxBurst.
uint16_t poll(
    const RxQueue& queue,
    uint16_t pair,
    const RxOptions& options,
    std::span<rte_mbuf*> frames,
    QueueCounters& counters
) noexcept {
    Port& port = *queue.port;
    rte_spinlock_t& lock = port.locks[pair].from_guest;
    // A pair that the guest does not use costs only a load. A pair that another thread has locked
    // can wait for the next burst.
    if (!port.queue_pairs[pair].serves() || rte_spinlock_trylock(&lock) == 0)
        return 0;
    const Traffic before = port.queue_pairs[pair].from_guest_traffic();
    const uint16_t got = port.queue_pairs[pair].from_guest(queue.pool, frames, options);
    const Traffic after = port.queue_pairs[pair].from_guest_traffic();
    rte_spinlock_unlock(&lock);
    counters.rx_frames.add(after.frames - before.frames);
    counters.rx_bytes.add(after.bytes - before.bytes);
    return got;
}

/// Receives from the pairs of `queue` into `frames`, and finishes them.
uint16_t poll_pairs(
    RxQueue& queue, std::span<rte_mbuf*> frames, RxRules rules, QueueCounters& counters
) noexcept {
    const Port& port = *queue.port;
    const RxOptions options{
        port.number,
        port.longest.load(std::memory_order_relaxed),
        !port.scatter.load(std::memory_order_relaxed),
        port.large_buffers.get()};
    uint16_t got = 0;
    bool full = false;
    // Each burst begins with another pair, so that one that is always full does not starve others.
    uint16_t pair = queue.next;
    do {
        bool whole = false;
        do {
            const auto part = frames.subspan(got, std::min<size_t>(kMaxBurst, frames.size() - got));
            const uint16_t polled = poll(queue, pair, options, part, counters);
            whole = polled == part.size();
            const uint16_t finished =
                rules.look ? queue.finisher.finish(part, polled, rules, counters.finisher) : polled;
            got = static_cast<uint16_t>(got + finished);
            // While frames are held, later ones stay in the ring.
            full = got == frames.size() || queue.finisher.held() != 0;
        } while (whole && !full);
        pair = pair_after(queue, pair);
    } while (pair != queue.next && !full);
    queue.next = pair_after(queue, queue.next);
    return got;
}

}  // namespace

uint16_t rx_burst(void* raw, rte_mbuf** frames, uint16_t count) noexcept {
    RxQueue& queue = *static_cast<RxQueue*>(raw);
    Port& port = *queue.port;
    if (!queue.running.load(std::memory_order_relaxed) || count == 0 ||
        queue.index >= port.queue_pairs.size())
        return 0;
    QueueCounters& counters = port.queues[queue.index];
    const RxRules rules = port.rx_rules.load(std::memory_order_relaxed);
    const std::span all(frames, count);
    uint16_t got = 0;
    if (queue.finisher.held() != 0)
        got = queue.finisher.deliver_held(all, rules, counters.finisher);
    if (got < count && queue.finisher.held() == 0)
        got = static_cast<uint16_t>(got + poll_pairs(queue, all.subspan(got), rules, counters));
    if (got != 0 && (port.vlan_strip.load(std::memory_order_relaxed) ||
                     port.vlan_filter.load(std::memory_order_relaxed)))
        got = look_at_tags(port, std::span(frames, got), counters);
    return got;
}

uint16_t tx_burst(void* raw, rte_mbuf** frames, uint16_t count) noexcept {
    TxQueue& queue = *static_cast<TxQueue*>(raw);
    Port& port = *queue.port;
    const auto pair = port.device->steering().queue_for(queue.index);
    if (!pair || count == 0 || !queue.running.load(std::memory_order_relaxed))
        return 0;
    if (port.vlan_insert.load(std::memory_order_relaxed)) {
        const uint16_t good = put_tags(std::span(frames, count));
        if (good == 0) {
            // The first frame cannot be sent. The frames after it are sent by the next burst.
            rte_pktmbuf_free(frames[0]);
            port.queues[queue.index].vlan_errors.add(1);
            return 1;
        }
        count = good;
    }
    const Locked locked(port.locks[*pair].to_guest);
    const QueuePair& output = port.queue_pairs[*pair];
    const Traffic before = output.to_guest_traffic();
    const uint16_t sent = in_parts(count, [&](uint16_t first, uint16_t part) noexcept {
        return output.to_guest(std::span(frames + first, part));
    });
    const Traffic after = output.to_guest_traffic();
    QueueCounters& counters = port.queues[queue.index];
    counters.tx_frames.add(after.frames - before.frames);
    counters.tx_bytes.add(after.bytes - before.bytes);
    return sent;
}

uint16_t tx_prepare(void* /*raw*/, rte_mbuf** frames, uint16_t count) noexcept {
    for (uint16_t i = 0; i < count; ++i) {
        Unfinished what;
        if (may_be_unfinished(*frames[i]) && read_unfinished(*frames[i], what)) {
            rte_errno = EINVAL;
            return i;
        }
    }
    return count;
}

uint32_t rx_waiting(RxQueue& queue) noexcept {
    Port& port = *queue.port;
    uint32_t waiting = queue.finisher.held();
    for_each_pair(queue, [&](uint16_t pair) noexcept {
        const Locked locked(port.locks[pair].from_guest);
        waiting += port.queue_pairs[pair].from_guest_waiting();
    });
    return waiting;
}

uint32_t tx_waiting(TxQueue& queue) noexcept {
    Port& port = *queue.port;
    const auto pair = port.device->steering().queue_for(queue.index);
    if (!pair)
        return 0;
    const Locked locked(port.locks[*pair].to_guest);
    return port.queue_pairs[*pair].to_guest_waiting();
}

bool enable_interrupt(RxQueue& queue) noexcept {
    Port& port = *queue.port;
    const bool holds = queue.finisher.held() != 0;
    bool nothing = true;
    for_each_pair(queue, [&](uint16_t pair) noexcept {
        const int kick = port.queue_pairs[pair].kick_fd();
        // Read the kick that woke the caller before the ring is checked (vduse/device.h).
        uint64_t kicks = 0;
        (void)!::read(kick, &kicks, sizeof kicks);
        const Locked locked(port.locks[pair].from_guest);
        if (holds || !port.queue_pairs[pair].arm_from_guest()) {
            raise_eventfd(kick);
            nothing = false;
        }
    });
    return nothing;
}

void disable_interrupt(RxQueue& queue) noexcept {
    Port& port = *queue.port;
    for_each_pair(queue, [&](uint16_t pair) noexcept {
        const Locked locked(port.locks[pair].from_guest);
        port.queue_pairs[pair].disarm_from_guest();
    });
}

}  // namespace vduse::pmd
