#include "device/spaces.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "memory/lost_memory.h"

namespace vduse::device {

Spaces::Spaces(const Parts& parts, const State& state)
    : parts_(parts),
      state_(state),
      views_(parts.shape.spaces),
      view_nodes_(parts.shape.spaces, memory::any_node()) {
    pair_nodes_.fill(memory::any_node());
}

void Spaces::remap(uint32_t asid) {
    auto view =
        memory::build_view(*parts_.node, asid, views_[asid], parts_.allocator, node_of(asid));
    if (!view)
        log(Severity::error, "%s: space %u: %s", parts_.name(), asid, view.error().text().c_str());
    view_nodes_[asid] = node_of(asid);
    retire(std::exchange(views_[asid], view ? std::move(*view) : memory::View()));
}

void Spaces::drop(uint32_t asid) {
    retire(std::exchange(views_[asid], memory::View()));
}

void Spaces::drop_all() {
    for (uint32_t asid = 0; asid < count(); ++asid)
        drop(asid);
}

void Spaces::close() {
    for (auto& view : views_)
        view = memory::View();
}

void Spaces::retire(memory::View view) {
    if (!gates_quiet())
        lingering_.push_back(std::move(view));
}

bool Spaces::collect() {
    if (!lingering_.empty() && gates_quiet())
        lingering_.clear();
    return !lingering_.empty();
}

bool Spaces::gates_quiet() const {
    return std::ranges::all_of(parts_.all_queues(), [](const Queue& queue) {
        return queue.gate.is_open() || queue.gate.idle();
    });
}

bool Spaces::set_node(uint16_t pair, int numa_node) {
    pair_nodes_[pair] = numa_node;
    const uint32_t asid = space_of(parts_.shape, state_, 2U * pair);
    // An adopted device has its tables before anybody says who will read them.
    return table(asid) != nullptr && view_nodes_[asid] != node_of(asid);
}

int Spaces::node_of(uint32_t asid) const {
    for (uint16_t pair = 0; pair < parts_.shape.pairs; ++pair)
        if (space_of(parts_.shape, state_, 2U * pair) == asid)
            return pair_nodes_[pair];
    return pair_nodes_[0];
}

std::vector<uint32_t> Spaces::lost() {
    std::vector<uint32_t> spaces;
    const uint64_t mappings = memory::lost_mappings();
    if (std::exchange(lost_seen_, mappings) == mappings)
        return spaces;
    for (uint32_t asid = 0; asid < count(); ++asid)
        if (views_[asid].lost())
            spaces.push_back(asid);
    return spaces;
}

bool Spaces::prefault_step() {
    return std::ranges::any_of(views_, &memory::View::prefault_step);
}

}  // namespace vduse::device
