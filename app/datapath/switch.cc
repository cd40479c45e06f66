// SPDX-License-Identifier: BSD-3-Clause

// How it works: see switch.h.
#include "app/datapath/switch.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_pause.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "app/control/console.h"
#include "app/datapath/fair_share.h"
#include "app/datapath/idle.h"
#include "app/datapath/lane.h"
#include "app/datapath/poll_order.h"
#include "base/counter.h"

namespace vduse::app {
namespace {

/// How often a bridge checks for old addresses, a few at a time: all of them about four times a
/// second.
constexpr unsigned kSweepsPerSecond = 1000;

/// The longest sleep of a worker with a bridge. The sweeps that it misses follow at once. Lookups
/// ignore old entries, so it does not matter that they are removed later.
constexpr int kMaxSleepMs = 100;
constexpr uint64_t kMostSweepsAtOnce = uint64_t{kMaxSleepMs} * kSweepsPerSecond / 1000;

/// A slice is 2 µs: a burst of small frames. No lane sits out for more than a millisecond.
constexpr unsigned kSlicesPerSecond = 500'000;
constexpr unsigned kLargestDeficitsPerSecond = 1000;

/// The most jobs that the endpoint can be split into.
uint16_t jobs_of(const Endpoint& endpoint) {
    return endpoint.device == nullptr || endpoint.group_per_pair ? endpoint.queues : uint16_t{1};
}

/// The queues of job `number` of `jobs`.
std::vector<uint16_t> queues_of(const Endpoint& endpoint, uint16_t number, uint16_t jobs) {
    std::vector<uint16_t> queues;
    for (unsigned queue = number; queue < endpoint.queues; queue += jobs)
        queues.push_back(static_cast<uint16_t>(queue));
    return queues;
}

/// Lets several workers send to the endpoint.
void share(Endpoint& endpoint) {
    endpoint.tx_locks = std::make_unique<rte_spinlock_t[]>(endpoint.queues);
    for (uint16_t queue = 0; queue < endpoint.queues; ++queue)
        rte_spinlock_init(&endpoint.tx_locks[queue]);
}

}  // namespace

std::unique_ptr<Endpoint> make_endpoint(std::string name, uint16_t queues) {
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->name = std::move(name);
    endpoint->set_queues(queues);
    return endpoint;
}

/// A job and its lanes.
struct Switch::LaneJob {
    Job plan;  ///< as placement.h sees it
    std::vector<Lane> lanes;
    std::unique_ptr<Joined> joined;
    std::string conflict = {};  ///< error message: two lcores are requested for it

    /// Adds the queues of `from` that belong to job `number` of `jobs`. Their frames go to `to`, or
    /// to `joined`.
    void add(Endpoint& from, Endpoint* to, uint16_t number, uint16_t jobs, uint16_t member = 0) {
        std::string what = from.name;
        const auto queues = queues_of(from, number, jobs);
        for (const uint16_t queue : queues) {
            lanes.push_back({&from, to, queue, joined.get(), member});
            if (jobs > 1) {
                what += queue != number ? "," : from.device != nullptr ? " pair " : " queue ";
                what += std::to_string(queue);
            }
            want(from, from.group_per_pair ? queue : uint16_t{0});
        }
        plan.what += (plan.what.empty() ? "" : ", ") + what;
        if (plan.node < 0)
            plan.node = from.node;
    }

  private:
    void want(const Endpoint& from, uint16_t group) {
        const auto wanted = from.group_lcores.find(group);
        if (wanted == from.group_lcores.end())
            return;
        if (plan.lcore && *plan.lcore != wanted->second)
            conflict = "--group-lcore: lcores " + std::to_string(*plan.lcore) + " and " +
                       std::to_string(wanted->second) +
                       " are asked for what one lcore must serve: " + plan.what + ", " + from.name;
        plan.lcore = wanted->second;
    }
};

struct Switch::Worker {
    unsigned lcore = 0;
    std::vector<Lane> lanes;
    std::vector<std::unique_ptr<Joined>> bridges;
    uint64_t sweep_period = 0;
    FairShare fair_share{0, 0, 0};
    PollOrder order{0};
    rte_mempool* pool = nullptr;
    const std::atomic<bool>* stop = nullptr;
    std::unique_ptr<IdleWait> idle_wait;  ///< nullptr: it never sleeps
    std::unique_ptr<Gro> gro;             ///< nullptr: nothing is merged

    void take(LaneJob& job) {
        for (const Lane& lane : job.lanes)
            lane.from->lcores[lane.queue] = lcore;
        lanes.insert(lanes.end(), job.lanes.begin(), job.lanes.end());
        if (job.joined)
            bridges.push_back(std::move(job.joined));
    }

    /// Does the sweeps that are due. Returns the time of the next one.
    [[nodiscard]] uint64_t sweep(uint64_t now, uint64_t due) const noexcept {
        const uint64_t missed = std::min((now - due) / sweep_period, kMostSweepsAtOnce);
        for (uint64_t i = 0; i <= missed; ++i)
            for (const auto& joined : bridges)
                joined->bridge->sweep(now);
        return now + sweep_period;
    }

    /// One round. Returns false if there was nothing to do.
    [[nodiscard]] bool poll() noexcept {
        const bool busy = fair_share.timed() ? poll_timed() : poll_untimed();
        fair_share.round_ended(rte_rdtsc(), busy);
        return busy;
    }
    [[nodiscard]] bool poll_untimed() noexcept {
        bool busy = false;
        order.round([&](size_t lane) noexcept {
            const bool had_work = run(lanes[lane], pool, gro.get());
            busy |= had_work;
            return had_work;
        });
        return busy;
    }
    [[nodiscard]] bool poll_timed() noexcept {
        bool busy = false;
        uint64_t then = rte_rdtsc();
        // No lane rests. Rounds are long anyway, and a round without work must mean that no lane
        // has any.
        for (size_t i = 0; i < lanes.size(); ++i) {
            if (fair_share.sits_out(i))
                continue;
            busy |= run(lanes[i], pool, gro.get());
            const uint64_t now = rte_rdtsc();
            fair_share.ran(i, now - then);
            then = now;
        }
        return busy;
    }
    [[nodiscard]] bool poll_all() const noexcept {
        bool busy = false;
        for (const Lane& lane : lanes)
            busy |= run(lane, pool, gro.get());
        return busy;
    }

    void loop() noexcept {
        uint64_t next_sweep = 0;
        while (!stop->load(std::memory_order_relaxed)) {
            if (!bridges.empty())
                if (const uint64_t now = rte_rdtsc(); now >= next_sweep)
                    next_sweep = sweep(now, next_sweep);
            if (poll()) {
                if (idle_wait != nullptr)
                    idle_wait->busy();
                continue;
            }
            rte_pause();  // leaves the core to its sibling hyperthread
            if (idle_wait != nullptr && idle_wait->idle_expired(rte_rdtsc()))
                sleep();
        }
    }

    void sleep() const noexcept {
        if (!idle_wait->arm())
            return;
        if (poll_all())  // no lane rests or sits out in the last check
            idle_wait->busy();
        else
            idle_wait->wait(bridges.empty() ? -1 : kMaxSleepMs);
        idle_wait->disarm();
    }

    /// Prints a note if this worker cannot sleep.
    [[nodiscard]] Result<void> prepare_sleep(std::chrono::microseconds idle) {
        auto created = IdleWait::create(idle);
        if (!created)
            return created.error();
        for (const Lane& lane : lanes) {
            const Endpoint& from = *lane.from;
            // A port that failed to start is never polled.
            if (from.device == nullptr && !from.in_service.load(std::memory_order_relaxed))
                continue;
            auto watched = from.device != nullptr
                               ? (*created)->watch_pair(from.pairs[lane.queue], from.in_service)
                               : (*created)->watch_port(from.port, lane.queue);
            if (watched)
                continue;
            if (watched.error().code != ENOTSUP)
                return watched;
            print_note(
                from.name + ": " + watched.error().what + ", so lcore " + std::to_string(lcore) +
                " never sleeps"
            );
            return {};
        }
        idle_wait = std::move(*created);
        return {};
    }

    static int main(void* self) {
        static_cast<Worker*>(self)->loop();
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

void Switch::patch(Endpoint& a, Endpoint& b) {
    const bool ports_alone = a.device == nullptr && b.device == nullptr;
    const auto jobs = ports_alone ? uint16_t{1} : std::min(jobs_of(a), jobs_of(b));
    for (uint16_t number = 0; number < jobs; ++number) {
        LaneJob& job = jobs_.emplace_back();
        job.add(a, &b, number, jobs);
        job.add(b, &a, number, jobs);
    }
    if (jobs > 1) {
        share(a);
        share(b);
    }
}

void Switch::reflect(Endpoint& endpoint) {
    const auto jobs = endpoint.device == nullptr ? uint16_t{1} : jobs_of(endpoint);
    for (uint16_t number = 0; number < jobs; ++number)
        jobs_.emplace_back().add(endpoint, &endpoint, number, jobs);
    if (jobs > 1)
        share(endpoint);
}

void Switch::join(Bridge& bridge, std::span<Endpoint* const> members) {
    LaneJob& job = jobs_.emplace_back();
    job.joined =
        std::make_unique<Joined>(Joined{&bridge, std::vector(members.begin(), members.end())});
    for (size_t i = 0; i < members.size(); ++i)
        job.add(*members[i], nullptr, 0, 1, static_cast<uint16_t>(i));
    job.plan.what = bridge.name() + " of " + job.plan.what;
}

Result<std::string> Switch::assign_workers() {
    std::vector<Job> jobs;
    for (const LaneJob& job : jobs_) {
        if (!job.conflict.empty())
            return Error{EINVAL, job.conflict};
        jobs.push_back(job.plan);
    }
    std::vector<WorkerSlot> slots;
    for (const auto& worker : workers_)
        slots.push_back({worker->lcore, static_cast<int>(rte_lcore_to_socket_id(worker->lcore))});
    const auto assigned = app::assign_workers(jobs, slots);
    if (!assigned)
        return assigned.error();
    for (size_t i = 0; i < jobs_.size(); ++i)
        workers_[(*assigned)[i]]->take(jobs_[i]);
    jobs_.clear();
    return describe(jobs, slots, *assigned);
}

Result<void> Switch::start(rte_mempool* pool, const WorkerOptions& options) {
    for (auto& worker : workers_) {
        worker->pool = pool;
        worker->sweep_period = rte_get_tsc_hz() / kSweepsPerSecond;
        worker->order = PollOrder(worker->lanes.size());
        worker->fair_share = FairShare(
            worker->lanes.size(),
            rte_get_tsc_hz() / kSlicesPerSecond,
            rte_get_tsc_hz() / kLargestDeficitsPerSecond
        );
        if (worker->lanes.empty())
            continue;
        if (options.idle.count() != 0)
            if (auto prepared = worker->prepare_sleep(options.idle); !prepared)
                return prepared;
        if (options.gro) {
            auto gro = Gro::create(static_cast<int>(rte_lcore_to_socket_id(worker->lcore)));
            if (!gro)
                return gro.error();
            worker->gro = std::move(*gro);
        }
        const int status = rte_eal_remote_launch(Worker::main, worker.get(), worker->lcore);
        if (status != 0)
            return Error{-status, "worker on lcore " + std::to_string(worker->lcore)};
    }
    return {};
}

void Switch::stop() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& worker : workers_) {
        if (worker->idle_wait != nullptr)
            worker->idle_wait->wake();
        rte_eal_wait_lcore(worker->lcore);
    }
}

std::vector<WorkerInfo> Switch::workers() const {
    std::vector<WorkerInfo> all;
    for (const auto& worker : workers_)
        if (const IdleWait* const idle_wait = worker->idle_wait.get(); idle_wait != nullptr)
            all.push_back({worker->lcore, idle_wait->sleeps(), idle_wait->wake_ups()});
    return all;
}

}  // namespace vduse::app
