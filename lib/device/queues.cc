// SPDX-License-Identifier: BSD-3-Clause

#include "device/queues.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/position.h"
#include "device/shape.h"
#include "net/offload.h"
#include "vduse/mac.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

bool is_control(const Parts& parts, const State& state, uint32_t index) {
    return control_queue(parts.shape, state.features) == index;
}

}  // namespace

// --- stopping

bool Queues::stop_for(const Step& step) {
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

bool Queues::stop_all() {
    std::vector<uint32_t> indices;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        indices.push_back(i);
    return stop(indices);
}

bool Queues::stop(std::span<const uint32_t> indices) {
    std::vector<sched::Gate*> gates;
    for (const uint32_t i : indices) {
        gates.push_back(&parts_.queues[i].gate);
        parts_.queues[i].running = false;
    }
    if (sched::Gate::close(gates, timeout_))
        return true;
    log(Severity::error, "%s: a data thread did not leave a queue that must stop", parts_.name());
    return false;
}

// --- starting

void Queues::start_all() {
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        const Queue& queue = parts_.queues[i];
        if (should_run(parts_.shape, state_, i) && !queue.running && !queue.stalled &&
            !queue.quarantined)
            start(i);
    }
}

std::vector<SetQueueReady> Queues::ask_ready() {
    std::vector<SetQueueReady> messages;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        const State if_ready = next(parts_.shape, state_, SetQueueReady{i, true}).state;
        if (queue.running || queue.stalled || !should_run(parts_.shape, if_ready, i))
            continue;
        const auto info = parts_.node->vq_info(i);
        const bool ready = info && info->ready != 0;
        messages.push_back({i, ready});
        if (ready)
            continue;
        pending_ = Pending::message;
        // The kernel keeps a kick that comes before the eventfd is set.
        if (!queue.kick_armed_early)
            queue.kick_armed_early =
                static_cast<bool>(parts_.node->vq_kickfd(i, parts_.kick.get()));
    }
    return messages;
}

void Queues::start(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const auto info = parts_.node->vq_info(index);
    if (!info)
        return stall(index, info.error().text().c_str());
    // The kernel marks a queue as ready only after the answer to SET_VQ_READY, and drops interrupts
    // until then. A stuck data thread must be out before the ring may change.
    if (info->ready == 0 || !queue.gate.idle()) {
        pending_ = Pending::start;
        return;
    }
    // QEMU enables queues that the driver never set up.
    if (info->desc_addr == 0 && info->driver_addr == 0 && info->device_addr == 0) {
        queue.stalled = true;
        return;
    }
    const uint32_t space = space_of(parts_.shape, state_, index);
    ring::LoadError error = load(index, *info);
    if (error == ring::LoadError::unmapped) {
        // virtio_vdpa allocates the memory of rings without a message.
        remap(space);
        error = load(index, *info);
    }
    if (error != ring::LoadError::none)
        return stall(index, describe(error));
    // A queue that was only stopped keeps its position, unless the driver's side set a new one.
    if (!queue.layout_at_start || std::memcmp(&*queue.layout_at_start, &*info, sizeof *info) != 0) {
        if (queue.adopted && !queue.layout_at_start)
            queue.ring.resume(queue.started_at);
        else if (!queue.ring.restart(from_vq_info(*info)))
            return stall(index, "its avail and used indexes do not belong together");
        queue.layout_at_start = *info;
        // Save before any chain is returned: after that, the used index does not tell this any
        // more.
        const ring::Position before = std::exchange(queue.started_at, queue.ring.position());
        if (before.inherited_in_flight() != queue.started_at.inherited_in_flight())
            memo_.save();
    }
    queue.adopted = false;
    // The kernel forgets eventfds when the device is reset. An eventfd that only ended the wait for
    // a queue that was not ready is removed.
    const bool kick_armed_early = std::exchange(queue.kick_armed_early, false);
    const bool control = is_control(parts_, state_, index);
    const int kick = control ? parts_.kick.get() : queue.kick.get();
    if (kick >= 0 || kick_armed_early)
        if (const auto set = parts_.node->vq_kickfd(index, kick); !set && kick >= 0)
            return stall(index, set.error().text().c_str());
    if (!control)
        queue.ring.refuse_kicks();
    const uint32_t indices[] = {index};
    open(indices);
}

ring::LoadError Queues::load(uint32_t index, const uapi::abi::VqInfo& info) {
    const uint32_t space = space_of(parts_.shape, state_, index);
    return load_ring(parts_, state_, index, info, spaces_.table(space), parts_.queues[index].ring);
}

void Queues::open(std::span<const uint32_t> indices) {
    for (const uint32_t i : indices) {
        parts_.queues[i].running = true;
        if (is_control(parts_, state_, i)) {
            control_started_ = true;  // commands may have come before the eventfd was set
            continue;
        }
        parts_.queues[i].gate.open();
        if (parts_.queues[i].kick)
            raise_eventfd(parts_.queues[i].kick.get());
    }
}

void Queues::stall(uint32_t index, const char* why) {
    parts_.queues[index].stalled = true;
    if (parts_.queues[index].pace.due())
        log(Severity::warning, "%s: queue %u not started: %s", parts_.name(), index, why);
}

// --- positions

Queue* Queues::control() const {
    const auto index = control_queue(parts_.shape, state_.features);
    return index && parts_.queues[*index].running ? &parts_.queues[*index] : nullptr;
}

std::optional<ring::Position> Queues::position(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const uint32_t indices[] = {index};
    // Stop it to read the position; `start_all` starts it again. If it was stopped before, a data
    // thread may still be inside, or just find the gate closed.
    if (!stop(indices))
        return std::nullopt;
    if (queue.layout_at_start)
        return queue.ring.position();
    const auto info = parts_.node->vq_info(index);
    if (info && queue.adopted && load(index, *info) == ring::LoadError::none) {
        // Its position is where an earlier process left it.
        queue.ring.resume(queue.started_at);
        queue.layout_at_start = *info;
        return queue.ring.position();
    }
    return info ? from_vq_info(*info) : ring::Position();
}

// --- changes

void Queues::reset() {
    for (Queue& queue : parts_.all_queues()) {
        queue.stalled = false;
        queue.quarantined = false;
        queue.kick_armed_early = false;
        queue.adopted = false;
        queue.started_at = {};
        queue.layout_at_start.reset();
        queue.owes_interrupt.store(false, std::memory_order_relaxed);
    }
    quarantined_ = false;
}

void Queues::adopt(std::span<const ring::Position> positions) {
    for (Queue& queue : parts_.all_queues()) {
        queue.started_at = positions[queue.index];
        // While the driver is suspended, the position of any queue may be requested, ready or not.
        // A kernel that does not tell which queues are ready is asked as they start.
        queue.adopted =
            parts_.guessed || state_.ready(queue.index) || !parts_.capabilities.queue_ready();
        queue.owes_interrupt.store(true, std::memory_order_relaxed);
    }
}

void Queues::made_ready(uint32_t index) {
    parts_.queues[index].stalled = false;
    parts_.queues[index].adopted = false;
}

void Queues::set_rules() {
    const uint64_t features = state_.features;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        parts_.queues[i].rules = {
            max_frame(parts_.config.mtu),
            state_.negotiated(virtio::kFeatureMergeable),
            &filter_,
            i % 2 != 0 ? net::offloads_from_guest(features) : net::offloads_to_guest(features, 0)};
}

bool Queues::publish(const net::ControlState& state) {
    std::vector<sched::Gate*> gates;
    for (uint32_t i = 0; i < 2U * parts_.shape.pairs; i += 2)
        gates.push_back(&parts_.queues[i].gate);
    const bool idle = sched::Gate::close(gates, timeout_);
    if (idle) {
        filter_ = state.filter;
        for (uint32_t i = 0; i < 2U * parts_.shape.pairs; i += 2)
            parts_.queues[i].rules.offloads =
                net::offloads_to_guest(state_.features, state.offloads_off);
        driver_.set(state.active_pairs, state.filter.mac);
        show_driver();
    }
    for (uint32_t i = 0; i < 2U * parts_.shape.pairs; i += 2)
        if (parts_.queues[i].running && !is_control(parts_, state_, i))
            parts_.queues[i].gate.open();
    return idle;
}

void Queues::show_driver() {
    driver_.refresh();
    const uint16_t pairs = driver_.active_pairs();
    for (uint16_t pair = 0; pair < parts_.shape.pairs; ++pair)
        parts_.queues[size_t{2} * pair].in_use.store(pair < pairs, std::memory_order_relaxed);
}

// --- looking memory up again

void Queues::remap(uint32_t space) {
    open(look_again(space, {}));
}

std::vector<uint32_t> Queues::look_again(uint32_t space, std::span<const uint32_t> stopped) {
    std::vector<uint32_t> indices(stopped.begin(), stopped.end());
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        if (parts_.queues[i].running && space_of(parts_.shape, state_, i) == space)
            indices.push_back(i);
    stop(indices);
    spaces_.remap(space);
    std::vector<uint32_t> reloaded;
    for (const uint32_t i : indices) {
        if (!parts_.queues[i].gate.idle())
            pending_ = Pending::start;
        else if (const auto error = load(i, *parts_.queues[i].layout_at_start);
                 error != ring::LoadError::none)
            stall(i, describe(error));
        else
            reloaded.push_back(i);
    }
    return reloaded;
}

void Queues::look_for_lost_memory() {
    for (const uint32_t space : spaces_.lost()) {
        log(Severity::error,
            "%s: guest memory was truncated while it was mapped: the queues of space %u are not "
            "served until the driver resets the device",
            parts_.name(),
            space);
        std::vector<uint32_t> running;
        for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
            if (space_of(parts_.shape, state_, i) != space)
                continue;
            parts_.queues[i].quarantined = true;
            if (parts_.queues[i].running)
                running.push_back(i);
        }
        quarantined_ = true;
        stop(running);
        spaces_.drop(space);
    }
}

// --- requests of data threads

bool Queues::service() {
    bool again = false;
    look_for_lost_memory();
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        // Loaded first: other threads use these cache lines, too.
        if (queue.needs_service.load(std::memory_order_relaxed) &&
            queue.needs_service.exchange(false, std::memory_order_acquire))
            service_queue(i);
        if (queue.running && queue.owes_interrupt.load(std::memory_order_relaxed) &&
            queue.owes_interrupt.exchange(false, std::memory_order_relaxed) &&
            parts_.node->inject_irq(i) == EINVAL) {
            queue.owes_interrupt.store(true, std::memory_order_relaxed);
            again = true;
        }
    }
    return again;
}

void Queues::service_queue(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const uint32_t indices[] = {index};
    if (!queue.running)
        return;
    if (!stop(indices)) {
        pending_ = Pending::start;  // when the data thread is out
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

void Queues::quarantine(uint32_t index) {
    const bool jump = parts_.queues[index].ring.fault() == ring::RingFault::avail_jump;
    if (parts_.queues[index].pace.due())
        log(Severity::warning,
            "%s: queue %u is not served until the driver resets the device: its avail ring %s",
            parts_.name(),
            index,
            jump ? "index is further ahead than the ring size" : "has an invalid descriptor index");
    parts_.queues[index].quarantined = true;
    quarantined_ = true;
}

}  // namespace vduse::device
