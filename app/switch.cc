// How it works: see switch.h. `send`, at the end of every lane, spreads the queues of one side over
// those of the other: queue i goes to i modulo the number of pairs that the driver uses now, or of
// the port's tx queues. A device without a driver takes nothing, so what a port receives meanwhile
// is drained and dropped, instead of being delivered, old, when a driver comes. That holds for each
// output of a bridge, too.
#include "switch.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>

namespace vduse::app {
namespace {

constexpr uint16_t kBurst = 32;
static_assert(kBurst == Bridge::kBurst);

/// How often a bridge looks for old stations, a few at a time: all of them about four times a
/// second.
constexpr unsigned kSweepsPerSecond = 1000;

/// A bridge and who is in it.
struct Joined {
    Bridge* bridge;
    std::vector<Endpoint*> members;
};

/// Polls one queue of `from` and sends to `to`, or to the members of a bridge.
struct Lane {
    Endpoint* from;
    Endpoint* to;  ///< nullptr: `joined` decides
    uint16_t queue;
    const Joined* joined = nullptr;
    uint16_t member = 0;  ///< `from` as the bridge knows it
};

uint16_t receive(
    Endpoint& from, uint16_t queue, rte_mempool* pool, std::span<rte_mbuf*> frames
) noexcept {
    if (from.device != nullptr)
        return from.device->from_guest(queue, pool, frames);
    return rte_eth_rx_burst(from.port, queue, frames.data(), static_cast<uint16_t>(frames.size()));
}

/// Queues of `to` that take frames now.
uint16_t width(const Endpoint& to) noexcept {
    if (!to.in_service.load(std::memory_order_relaxed))
        return 0;
    return to.device != nullptr ? to.device->active_pairs() : to.queues;
}

/// Frees `frames`, which `to` did not take.
void drop(Endpoint& to, uint16_t queue, std::span<rte_mbuf*> frames) noexcept {
    if (frames.empty())
        return;
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    to.dropped[queue].add(frames.size());
}

void send(Endpoint& to, uint16_t from_queue, std::span<rte_mbuf*> frames) noexcept {
    const uint16_t queues = width(to);
    if (queues == 0)
        return drop(to, 0, frames);
    const auto queue = static_cast<uint16_t>(from_queue % queues);
    const auto count = static_cast<uint16_t>(frames.size());
    const uint16_t taken = to.device != nullptr
                               ? to.device->to_guest(queue, frames)
                               : rte_eth_tx_burst(to.port, queue, frames.data(), count);
    drop(to, queue, frames.subspan(taken));
}

/// Swaps the MAC addresses; false when they are not in one piece.
bool swap_addresses(rte_mbuf* frame) noexcept {
    if (rte_pktmbuf_data_len(frame) < sizeof(rte_ether_hdr))
        return false;
    auto* const header = rte_pktmbuf_mtod(frame, rte_ether_hdr*);
    std::swap(header->src_addr, header->dst_addr);
    return true;
}

/// Swaps addresses in place, and returns the frames where that was possible.
std::span<rte_mbuf*> reflected(Endpoint& endpoint, uint16_t queue, std::span<rte_mbuf*> frames) {
    size_t kept = 0;
    for (rte_mbuf*& frame : frames)
        if (swap_addresses(frame))
            std::swap(frames[kept++], frame);
    drop(endpoint, queue, frames.subspan(kept));
    return frames.first(kept);
}

/// Sends `frames`, which came from a member of a bridge, to the others.
void send_to_bridge(const Lane& lane, std::span<rte_mbuf*> frames, rte_mempool* pool) noexcept {
    Bridge& bridge = *lane.joined->bridge;
    bridge.sort(lane.member, frames, pool, rte_rdtsc());
    for (const uint8_t member : bridge.order())
        if (const auto output = bridge.output(member); !output.empty())
            send(*lane.joined->members[member], lane.queue, output);
}

/// One burst; false when there was nothing to do.
bool run(const Lane& lane, rte_mempool* pool) noexcept {
    if (!lane.from->in_service.load(std::memory_order_relaxed))
        return false;
    std::array<rte_mbuf*, kBurst> burst;
    std::span<rte_mbuf*> frames(burst);
    frames = frames.first(receive(*lane.from, lane.queue, pool, frames));
    if (frames.empty())
        return false;
    if (lane.joined != nullptr) {
        send_to_bridge(lane, frames, pool);
        return true;
    }
    if (lane.from == lane.to)
        frames = reflected(*lane.to, lane.queue, frames);
    if (!frames.empty())
        send(*lane.to, lane.queue, frames);
    return true;
}

}  // namespace

struct Switch::Worker {
    unsigned lcore = 0;
    std::vector<Lane> lanes;
    std::vector<std::unique_ptr<Joined>> bridges;
    uint64_t sweep_period = 0;
    rte_mempool* pool = nullptr;
    const std::atomic<bool>* stop = nullptr;

    void add(Endpoint& from, Endpoint& to) {
        from.lcore = lcore;
        for (uint16_t queue = 0; queue < from.queues; ++queue)
            lanes.push_back({&from, &to, queue});
    }

    void add(Bridge& bridge, std::span<Endpoint* const> members) {
        bridges.push_back(std::make_unique<Joined>(Joined{
            &bridge, std::vector(members.begin(), members.end())}));
        uint16_t number = 0;
        for (Endpoint* member : members) {
            member->lcore = lcore;
            for (uint16_t queue = 0; queue < member->queues; ++queue)
                lanes.push_back({member, nullptr, queue, bridges.back().get(), number});
            ++number;
        }
    }

    /// The time of the next one.
    [[nodiscard]] uint64_t sweep(uint64_t now) const noexcept {
        for (const auto& joined : bridges)
            joined->bridge->sweep(now);
        return now + sweep_period;
    }

    void loop() const noexcept {
        uint64_t next_sweep = 0;
        while (!stop->load(std::memory_order_relaxed)) {
            bool busy = false;
            if (!bridges.empty())
                if (const uint64_t now = rte_rdtsc(); now >= next_sweep)
                    next_sweep = sweep(now);
            for (const Lane& lane : lanes)
                busy |= run(lane, pool);
            if (!busy)
                rte_pause();  // leaves the core to its sibling thread
        }
    }

    static int main(void* self) {
        static_cast<const Worker*>(self)->loop();
        return 0;
    }
};

Switch::Switch() {
    unsigned lcore = 0;
    RTE_LCORE_FOREACH_WORKER(lcore) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->lcore = lcore;
        workers_.back()->stop = &stop_;
    }
}

Switch::~Switch() {
    stop();
}

Switch::Worker& Switch::next_worker() {
    return *workers_[turn_++ % workers_.size()];
}

void Switch::patch(Endpoint& a, Endpoint& b) {
    Worker& worker = next_worker();
    worker.add(a, b);
    worker.add(b, a);
}

void Switch::reflect(Endpoint& endpoint) {
    next_worker().add(endpoint, endpoint);
}

void Switch::join(Bridge& bridge, std::span<Endpoint* const> members) {
    next_worker().add(bridge, members);
}

Result<void> Switch::start(rte_mempool* pool) {
    for (auto& worker : workers_) {
        worker->pool = pool;
        worker->sweep_period = rte_get_tsc_hz() / kSweepsPerSecond;
        if (worker->lanes.empty())
            continue;
        const int status = rte_eal_remote_launch(Worker::main, worker.get(), worker->lcore);
        if (status != 0)
            return Error{-status, "worker on lcore " + std::to_string(worker->lcore)};
    }
    return {};
}

void Switch::stop() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& worker : workers_)
        rte_eal_wait_lcore(worker->lcore);
}

}  // namespace vduse::app
