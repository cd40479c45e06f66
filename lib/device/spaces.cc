// Address spaces: looked up anew, put near their readers, kept until nobody is inside, and lost.
#include <utility>

#include "base/log.h"
#include "device/session.h"

namespace vduse::device {

std::vector<uint32_t> Session::look_again(uint32_t space, std::span<const uint32_t> stopped) {
    std::vector<uint32_t> indices(stopped.begin(), stopped.end());
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        if (parts_.queues[i].running && space_of(parts_.shape, state_, i) == space)
            indices.push_back(i);
    stop(indices);
    remap(space);
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

void Session::remap(uint32_t asid) {
    auto view = memory::build_view(*parts_.node, asid, views_[asid], parts_.placer, node_of(asid));
    if (!view)
        log(Severity::error, "%s: space %u: %s", name(), asid, view.error().text().c_str());
    view_nodes_[asid] = node_of(asid);
    retire(std::exchange(views_[asid], view ? std::move(*view) : memory::View()));
}

void Session::set_node(uint16_t pair, int numa_node) {
    numa_nodes_[pair] = numa_node;
    const uint32_t space = space_of(parts_.shape, state_, 2U * pair);
    // An adopted device has its tables before anybody says who will read them.
    if (views_[space].table() != nullptr && view_nodes_[space] != node_of(space))
        open(look_again(space, {}));
}

int Session::node_of(uint32_t space) const {
    for (uint16_t pair = 0; pair < parts_.shape.pairs; ++pair)
        if (space_of(parts_.shape, state_, 2U * pair) == space)
            return numa_nodes_[pair];
    return numa_nodes_[0];
}

void Session::retire(memory::View view) {
    if (!gates_quiet())
        lingering_.push_back(std::move(view));
}

void Session::look_for_lost_memory() {
    lost_seen_ = memory::lost_mappings();
    for (uint32_t space = 0; space < views_.size(); ++space) {
        if (!views_[space].lost())
            continue;
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
        retire(std::exchange(views_[space], memory::View()));
    }
    refresh_link();
}

bool Session::gates_quiet() const {
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        if (!parts_.queues[i].gate.is_open() && !parts_.queues[i].gate.idle())
            return false;
    return true;
}

bool Session::idle_work() {
    for (auto& view : views_)
        if (view.prefault_step())
            return true;
    return false;
}

}  // namespace vduse::device
