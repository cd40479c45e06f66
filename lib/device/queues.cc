// Queues: started, stopped, served.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/position.h"
#include "device/session.h"
#include "device/shape.h"
#include "vduse/mac.h"
#include "virtio/features.h"

namespace vduse::device {

// --- stopping

bool Session::stop_for(const Step& step) {
    std::vector<uint32_t> indices;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        const uint32_t space = space_of(parts_.shape, state_, i);
        const bool moves = space != space_of(parts_.shape, step.state, i);
        if (moves || step.remap == space)
            parts_.queues[i].stalled = false;
        if (parts_.queues[i].running &&
            (moves || step.remap == space || step.reset || step.negotiate ||
             !should_run(parts_.shape, step.state, i)))
            indices.push_back(i);
    }
    return stop(indices);
}

bool Session::stop_all() {
    std::vector<uint32_t> indices;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        indices.push_back(i);
    return stop(indices);
}

bool Session::stop(std::span<const uint32_t> indices) {
    std::vector<sched::Gate*> gates;
    for (const uint32_t i : indices) {
        gates.push_back(&parts_.queues[i].gate);
        parts_.queues[i].running = false;
    }
    if (sched::Gate::close(gates, patience_))
        return true;
    log(Severity::error, "%s: a data thread does not leave a queue that must stop", name());
    return false;
}

bool Session::publish(const net::ControlState& state) {
    std::vector<sched::Gate*> gates;
    for (uint32_t i = 0; i < 2U * parts_.shape.pairs; i += 2)
        gates.push_back(&parts_.queues[i].gate);
    const bool idle = sched::Gate::close(gates, patience_);
    if (idle) {
        filter_ = state.filter;
        driver_.publish(state.active_pairs, state.filter.mac);
        show_driver();
    }
    for (uint32_t i = 0; i < 2U * parts_.shape.pairs; i += 2)
        if (parts_.queues[i].running && !is_control(i))
            parts_.queues[i].gate.open();
    if (idle)
        config_space_.set_mac(state.filter.mac);
    return idle;
}

void Session::show_driver() {
    driver_.refresh();
    const uint16_t pairs = driver_.active_pairs();
    for (uint16_t pair = 0; pair < parts_.shape.pairs; ++pair)
        parts_.queues[size_t{2} * pair].in_use.store(pair < pairs, std::memory_order_relaxed);
}

// --- starting

void Session::reconcile() {
    start_pending_ = false;
    show_driver();
    if (!parts_.capabilities.queue_ready())
        ask_ready();
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        const Queue& queue = parts_.queues[i];
        if (should_run(parts_.shape, state_, i) && !queue.running && !queue.stalled &&
            !queue.quarantined)
            start(i);
    }
}

void Session::ask_ready() {
    unready_ = false;
    if (driver_.broken())
        return;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        const State if_ready = next(parts_.shape, state_, SetQueueReady{i, true}).state;
        if (queue.running || queue.stalled || !should_run(parts_.shape, if_ready, i))
            continue;
        const auto info = parts_.node->vq_info(i);
        const bool ready = info && info->ready != 0;
        state_ = next(parts_.shape, state_, SetQueueReady{i, ready}).state;
        if (ready)
            continue;
        unready_ = true;
        // The kernel keeps a kick that comes between the question and this.
        if (!queue.heard)
            queue.heard = static_cast<bool>(parts_.node->vq_kickfd(i, parts_.kick.get()));
    }
}

void Session::start(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const auto info = parts_.node->vq_info(index);
    if (!info)
        return stall(index, info.error().text().c_str());
    // The kernel calls a queue ready only after our answer to SET_VQ_READY, and drops interrupts
    // until then; a stuck data thread must be out before the ring may change.
    if (info->ready == 0 || !queue.gate.idle()) {
        start_pending_ = true;
        return;
    }
    // QEMU makes queues ready that the driver never set up.
    if (info->desc_addr == 0 && info->driver_addr == 0 && info->device_addr == 0) {
        queue.stalled = true;
        return;
    }
    const uint32_t space = space_of(parts_.shape, state_, index);
    ring::LoadError error = load(index, *info);
    if (error == ring::LoadError::unmapped) {
        // virtio_vdpa allocates the memory of rings without telling us.
        open(look_again(space, {}));
        error = load(index, *info);
    }
    if (error != ring::LoadError::none)
        return stall(index, describe(error));
    // The position of a queue that was only stopped goes on, unless the driver's side set it anew.
    if (!queue.started_with || std::memcmp(&*queue.started_with, &*info, sizeof *info) != 0) {
        if (queue.adopted && !queue.started_with)
            queue.ring.resume(queue.started_at);
        else if (!queue.ring.restart(from_vq_info(*info)))
            return stall(index, "its avail and used indexes do not belong together");
        queue.started_with = *info;
        // Before any chain is returned, after which the used index alone would tell less.
        const ring::Position before = std::exchange(queue.started_at, queue.ring.position());
        if (before.inherited_in_flight() != queue.started_at.inherited_in_flight())
            memo_.save();
    }
    queue.adopted = false;
    // The kernel forgets eventfds when the device is reset. One that only ended the wait for a
    // queue that was not ready is taken back.
    const bool heard = std::exchange(queue.heard, false);
    const int kick = is_control(index) ? parts_.kick.get() : queue.kick.get();
    if (kick >= 0 || heard)
        if (const auto set = parts_.node->vq_kickfd(index, kick); !set && kick >= 0)
            return stall(index, set.error().text().c_str());
    if (!is_control(index))
        queue.ring.refuse_kicks();
    const uint32_t indices[] = {index};
    open(indices);
}

ring::LoadError Session::load(uint32_t index, const uapi::abi::VqInfo& info) {
    const uint32_t space = space_of(parts_.shape, state_, index);
    return load_ring(parts_, state_, index, info, spaces_.table(space), parts_.queues[index].ring);
}

void Session::open(std::span<const uint32_t> indices) {
    for (const uint32_t i : indices) {
        parts_.queues[i].running = true;
        if (is_control(i)) {
            serve_control();  // whatever came before the eventfd was there
            continue;
        }
        parts_.queues[i].gate.open();
        if (parts_.queues[i].kick)
            raise_eventfd(parts_.queues[i].kick.get());
    }
}

void Session::stall(uint32_t index, const char* why) {
    parts_.queues[index].stalled = true;
    if (parts_.queues[index].pace.due())
        log(Severity::warning, "%s: queue %u not started: %s", name(), index, why);
}

// --- looked at anew

std::vector<uint32_t> Session::look_again(uint32_t space, std::span<const uint32_t> stopped) {
    std::vector<uint32_t> indices(stopped.begin(), stopped.end());
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        if (parts_.queues[i].running && space_of(parts_.shape, state_, i) == space)
            indices.push_back(i);
    stop(indices);
    spaces_.remap(space);
    std::vector<uint32_t> reloaded;
    for (const uint32_t i : indices) {
        if (!parts_.queues[i].gate.idle())
            start_pending_ = true;
        else if (const auto error = load(i, *parts_.queues[i].started_with);
                 error != ring::LoadError::none)
            stall(i, describe(error));
        else
            reloaded.push_back(i);
    }
    return reloaded;
}

void Session::look_for_lost_memory() {
    const auto lost = spaces_.lost();
    for (const uint32_t space : lost) {
        log(Severity::error,
            "%s: guest memory was cut off while it was mapped: the queues of space %u are not "
            "served until the driver resets the device",
            name(),
            space);
        std::vector<uint32_t> running;
        for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
            if (space_of(parts_.shape, state_, i) != space)
                continue;
            parts_.queues[i].quarantined = true;
            if (parts_.queues[i].running)
                running.push_back(i);
        }
        stop(running);
        spaces_.drop(space);
    }
    if (!lost.empty())
        refresh_link();
}

// --- what data threads call control for

bool Session::tick() {
    bool again = false;
    look_for_lost_memory();
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        // Looked at first: the lines are others' as well.
        if (queue.wants_control.load(std::memory_order_relaxed) &&
            queue.wants_control.exchange(false, std::memory_order_acquire))
            attend(i);
        if (queue.running && queue.owes_interrupt.load(std::memory_order_relaxed) &&
            queue.owes_interrupt.exchange(false, std::memory_order_relaxed) &&
            parts_.node->inject_irq(i) == EINVAL) {
            queue.owes_interrupt.store(true, std::memory_order_relaxed);
            again = true;
        }
    }
    if (config_space_.owes_interrupt() && state_.driver_ok() && !state_.suspended)
        config_space_.interrupt();
    look_after_health();
    if (start_pending_ || unready_)
        reconcile();
    const bool lingers = spaces_.collect();
    const bool config = config_space_.owes_interrupt() && !state_.suspended;
    return again || config || start_pending_ || lingers;
}

void Session::look_after_health() {
    if (driver_.active_pairs() == 0 || state_.suspended || config_space_.status() == 0)
        return health_.restart();
    const auto now = Health::Clock::now();
    if (!health_.due(now))
        return;
    std::vector<PairSample> pairs;
    for (uint32_t i = 0; i < 2U * driver_.active_pairs(); i += 2) {
        const Queue& to_guest = parts_.queues[i];
        // One that does not run has its own line.
        if (to_guest.running)
            pairs.push_back(
                {to_guest.counters.frames.read(),
                 to_guest.counters.no_buffer.read(),
                 parts_.queues[i + 1].counters.frames.read(),
                 to_guest.ring.offered()}
            );
    }
    for (const std::string& line : health_.look(now, pairs))
        log(Severity::notice, "%s: %s", name(), line.c_str());
}

void Session::attend(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const uint32_t indices[] = {index};
    if (!queue.running)
        return;
    if (!stop(indices)) {
        start_pending_ = true;  // when the data thread is out
        return;
    }
    if (queue.ring.fault() != ring::RingFault::none)
        return quarantine(index);
    if (const auto iova = queue.ring.miss()) {
        const uint32_t space = space_of(parts_.shape, state_, index);
        const auto region = parts_.node->iotlb_region(space, *iova, *iova);
        queue.counters.misses.add(1);
        if (region && region->first <= *iova) {
            const auto reloaded = look_again(space, indices);
            const memory::Table* table = spaces_.table(space);
            if (table == nullptr || table->find(*iova) == nullptr)
                queue.ring.deny(*iova);
            return open(reloaded);
        }
        queue.ring.deny(*iova);
    }
    open(indices);
}

void Session::quarantine(uint32_t index) {
    const bool jump = parts_.queues[index].ring.fault() == ring::RingFault::avail_jump;
    if (parts_.queues[index].pace.due())
        log(Severity::warning,
            "%s: queue %u is not served until the driver resets the device: its avail ring %s",
            name(),
            index,
            jump ? "is further ahead than it is long" : "names a descriptor that does not exist");
    parts_.queues[index].quarantined = true;
    refresh_link();
}

void Session::handle_kick() {
    uint64_t kicks = 0;
    (void)!::read(parts_.kick.get(), &kicks, sizeof kicks);
    serve_control();
}

void Session::serve_control() {
    const auto index = control_queue(parts_.shape, state_.features);
    if (!index || !parts_.queues[*index].running)
        return;
    ring::SplitRing& ring = parts_.queues[*index].ring;
    net::ControlBurst burst(control_, ring);
    while (const net::ControlState* proposed = burst.next()) {
        const bool published = publish(*proposed);
        if (published)
            memo_.save(*proposed);
        burst.finish(published);
    }
    parts_.queues[*index].finish_burst();
    if (ring.fault() != ring::RingFault::none || ring.miss())
        return;
    // More already: another turn of the loop, so that messages are answered in between.
    if (ring.request_kick())
        raise_eventfd(parts_.kick.get());
}

}  // namespace vduse::device
