// SPDX-License-Identifier: BSD-3-Clause

#include "device/snapshot.h"

#include <numaif.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace vduse::device {
namespace {

/// Asks the kernel for the NUMA nodes of the first pages of regions. Touches none of them.
void locate(std::span<const memory::Region> mapped, std::vector<RegionInfo>& regions) {
    constexpr size_t kAsked = 64;
    std::array<void*, kAsked> pages{};
    std::array<int, kAsked> nodes{};
    const size_t count = std::min(mapped.size(), kAsked);
    for (size_t i = 0; i < count; ++i) {
        // The kernel expects the page's address.
        const auto place = reinterpret_cast<uintptr_t>(mapped[i].host);
        pages[i] = mapped[i].host - place % static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    }
    if (count == 0 || ::move_pages(0, count, pages.data(), nullptr, nodes.data(), 0) != 0)
        return;
    for (size_t i = 0; i < count; ++i)
        regions[i].node = std::max(nodes[i], -1);  // below 0: the reason why it is unknown
}

}  // namespace

std::vector<GroupInfo> groups_of(const Shape& shape, const State& state) {
    std::vector<GroupInfo> groups;
    const uint32_t control = control_queue(shape, state.features).value_or(2U * shape.pairs);
    for (uint32_t group = 0; group < shape.data_groups(); ++group) {
        uint32_t first = 2 * group;
        uint32_t last = first + 1;
        if (!shape.grouped)
            last = shape.queues() - 1;
        else if (!shape.group_per_pair)
            last = std::min(control, 2U * shape.pairs) - 1;
        else if (first == control)
            ++first;
        groups.push_back({false, state.asid[group], first, last});
    }
    if (shape.has_control() && shape.grouped)
        groups.push_back({true, state.asid[shape.control_group()], control, control});
    return groups;
}

std::vector<std::vector<RegionInfo>> regions_of(const Spaces& spaces) {
    std::vector<std::vector<RegionInfo>> all;
    for (uint32_t space = 0; space < spaces.count(); ++space) {
        auto& regions = all.emplace_back();
        for (const memory::Region& region : spaces.regions(space))
            regions.push_back(
                {region.first,
                 region.last,
                 region.allows(memory::Access::read),
                 region.allows(memory::Access::write)}
            );
        locate(spaces.regions(space), regions);
    }
    return all;
}

void add_control(const net::ControlQueue& control, DeviceInfo& info) {
    const net::Filter& filter = control.state().filter;
    info.mac = filter.mac;
    info.promiscuous = filter.promiscuous;
    info.all_multicast = filter.all_multicast;
    info.unicast = filter.unicast.addresses.size();
    info.multicast = filter.multicast.addresses.size();
    info.vlans = filter.vlans.count();
    info.offloads_off = control.state().offloads_off;
    info.commands = control.counters().commands;
    info.refused = control.counters().refused;
}

QueueInfo queue_info(const Parts& parts, const State& state, uint32_t index) {
    const Shape& shape = parts.shape;
    const Queue& queue = parts.queues[index];
    QueueInfo info;
    info.use = index % 2 == 0 ? QueueUse::to_guest : QueueUse::from_guest;
    // The last queue is never a data queue, whatever was negotiated.
    if (control_queue(shape, state.features) == index || index == 2U * shape.pairs)
        info.use = QueueUse::control;
    else
        info.pair = static_cast<uint16_t>(index / 2);
    info.group = group_of(shape, state.features, index);
    info.asid = space_of(shape, state, index);
    info.ready = state.ready(index);
    info.running = queue.running;
    info.stalled = queue.stalled;
    info.quarantined = queue.quarantined;
    if (queue.layout_at_start) {
        info.size = queue.ring.size();
        info.desc = queue.layout_at_start->desc_addr;
        info.driver = queue.layout_at_start->driver_addr;
        info.device = queue.layout_at_start->device_addr;
    }
    return info;
}

}  // namespace vduse::device
