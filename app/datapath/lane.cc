// SPDX-License-Identifier: BSD-3-Clause

// How it works: `send`, at the end of every lane, spreads the queues of one side over those of the
// other: the pairs that the guest driver uses now, or the port's tx queues (vduse/steering.h). A
// device without a driver takes nothing, so frames that a port receives meanwhile are dropped.
// Otherwise old frames would be delivered once a driver comes. This holds for each output of a
// bridge, too.
#include "app/datapath/lane.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <array>
#include <optional>
#include <span>
#include <utility>

#include "app/datapath/port_output.h"

namespace vduse::app {
namespace {

constexpr uint16_t kBurst = 32;
static_assert(kBurst == Bridge::kBurst && kBurst == Gro::kBurst);

uint16_t receive(
    Endpoint& from, uint16_t queue, rte_mempool* pool, std::span<rte_mbuf*> frames
) noexcept {
    if (from.device != nullptr)
        return from.pairs[queue].from_guest(pool, frames);
    return rte_eth_rx_burst(from.port, queue, frames.data(), static_cast<uint16_t>(frames.size()));
}

/// The queue or pair of `to` for frames from `from_queue`; nothing: `to` takes no frames now.
std::optional<uint16_t> queue_for(const Endpoint& to, uint16_t from_queue) noexcept {
    if (!to.in_service.load(std::memory_order_relaxed))
        return std::nullopt;
    const Steering steering = to.device != nullptr ? to.device->steering() : to.tx_queues;
    return steering.queue_for(from_queue);
}

/// Holds the lock of a queue or pair for a scope, if the endpoint has several workers.
class TxLock {
  public:
    TxLock(Endpoint& endpoint, uint16_t queue) noexcept
        : lock_(endpoint.tx_locks ? &endpoint.tx_locks[queue] : nullptr) {
        if (lock_ != nullptr)
            rte_spinlock_lock(lock_);
    }
    TxLock(const TxLock&) = delete;
    TxLock& operator=(const TxLock&) = delete;
    ~TxLock() {
        if (lock_ != nullptr)
            rte_spinlock_unlock(lock_);
    }

  private:
    rte_spinlock_t* lock_;
};

/// Merges frames that belong together, if the guest driver accepts large frames. Returns what is
/// left of `frames`.
std::span<rte_mbuf*> merged(
    Endpoint& to, uint16_t queue, std::span<rte_mbuf*> frames, Gro* gro
) noexcept {
    if (gro == nullptr || frames.size() < 2 || !to.pairs[queue].to_guest_offloads().tso4)
        return frames;
    const auto left = gro->merge(frames);
    to.merged[queue].add(frames.size() - left.size());
    return left;
}

/// `gro`: only for frames from a port, else nullptr.
void send(Endpoint& to, uint16_t from_queue, std::span<rte_mbuf*> frames, Gro* gro) noexcept {
    const auto takes = queue_for(to, from_queue);
    const uint16_t queue = takes.value_or(0);
    const TxLock lock(to, queue);
    if (!takes)
        return drop(to, queue, frames);
    if (to.device == nullptr)
        return send_to_port(to, queue, frames);
    frames = merged(to, queue, frames, gro);
    const uint16_t taken = to.pairs[queue].to_guest(frames);
    drop(to, queue, frames.subspan(taken));
}

/// Swaps the MAC addresses. Returns false if they are not in one segment.
bool swap_addresses(rte_mbuf* frame) noexcept {
    if (rte_pktmbuf_data_len(frame) < sizeof(rte_ether_hdr))
        return false;
    auto* const header = rte_pktmbuf_mtod(frame, rte_ether_hdr*);
    std::swap(header->src_addr, header->dst_addr);
    return true;
}

/// Swaps addresses in place. Returns the frames for which that was possible; drops the others.
std::span<rte_mbuf*> reflected(Endpoint& endpoint, uint16_t queue, std::span<rte_mbuf*> frames) {
    size_t kept = 0;
    for (rte_mbuf*& frame : frames)
        if (swap_addresses(frame))
            std::swap(frames[kept++], frame);
    const TxLock lock(endpoint, queue);
    drop(endpoint, queue, frames.subspan(kept));
    return frames.first(kept);
}

/// Sends `frames`, which came from one member of a bridge, to the other members.
void send_to_bridge(
    const Lane& lane, std::span<rte_mbuf*> frames, rte_mempool* pool, Gro* gro
) noexcept {
    Bridge& bridge = *lane.joined->bridge;
    bridge.sort(lane.member, frames, pool, rte_rdtsc());
    for (const uint8_t member : bridge.order())
        if (const auto output = bridge.output(member); !output.empty())
            send(*lane.joined->members[member], lane.queue, output, gro);
}

}  // namespace

bool run(const Lane& lane, rte_mempool* pool, Gro* gro) noexcept {
    if (!lane.from->in_service.load(std::memory_order_relaxed))
        return false;
    std::array<rte_mbuf*, kBurst> burst;
    std::span<rte_mbuf*> frames(burst);
    frames = frames.first(receive(*lane.from, lane.queue, pool, frames));
    if (frames.empty())
        return false;
    if (lane.from->device != nullptr)
        gro = nullptr;
    if (lane.joined != nullptr) {
        send_to_bridge(lane, frames, pool, gro);
        return true;
    }
    if (lane.from == lane.to)
        frames = reflected(*lane.to, lane.queue, frames);
    if (!frames.empty())
        send(*lane.to, lane.queue, frames, gro);
    return true;
}

}  // namespace vduse::app
