// SPDX-License-Identifier: BSD-3-Clause

#include "device/spaces.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "memory/lost_memory.h"

namespace vduse::device {

Spaces::Spaces(const Parts& parts, const State& state)
    : parts_(parts),
      state_(state),
      spaces_(parts.shape.spaces),
      table_nodes_(parts.shape.spaces, memory::any_node()) {
    pair_nodes_.fill(memory::any_node());
}

void Spaces::remap(uint32_t asid) {
    auto space = memory::map_space(*parts_.node, asid, spaces_, parts_.allocator, node_of(asid));
    if (!space)
        log(Severity::error, "%s: space %u: %s", parts_.name(), asid, space.error().text().c_str());
    table_nodes_[asid] = node_of(asid);
    retire(std::exchange(spaces_[asid], space ? std::move(*space) : memory::Space()));
}

void Spaces::drop(uint32_t asid) {
    retire(std::exchange(spaces_[asid], memory::Space()));
}

void Spaces::drop_all() {
    for (uint32_t asid = 0; asid < count(); ++asid)
        drop(asid);
}

void Spaces::close() {
    for (auto& space : spaces_)
        space = memory::Space();
}

void Spaces::retire(memory::Space space) {
    if (!gates_quiet())
        lingering_.push_back(std::move(space));
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
    // An adopted device has its tables before it is known which threads will read them.
    return table(asid) != nullptr && table_nodes_[asid] != node_of(asid);
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
        if (spaces_[asid].lost())
            spaces.push_back(asid);
    return spaces;
}

bool Spaces::prefault_step() {
    return std::ranges::any_of(spaces_, &memory::Space::prefault_step);
}

}  // namespace vduse::device
