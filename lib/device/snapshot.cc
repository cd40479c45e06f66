// Snapshots of a device and its queues, for people.
#include <numaif.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "device/session.h"

namespace vduse::device {
namespace {

/// Asks the kernel where the first pages of regions are. It touches none of them.
void locate(std::span<const memory::Region> mapped, std::vector<RegionInfo>& regions) {
    constexpr size_t kAsked = 64;
    std::array<void*, kAsked> pages{};
    std::array<int, kAsked> nodes{};
    const size_t count = std::min(mapped.size(), kAsked);
    for (size_t i = 0; i < count; ++i) {
        // The kernel wants the page's address.
        const auto place = reinterpret_cast<uintptr_t>(mapped[i].host);
        pages[i] = mapped[i].host - place % static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    }
    if (count == 0 || ::move_pages(0, count, pages.data(), nullptr, nodes.data(), 0) != 0)
        return;
    for (size_t i = 0; i < count; ++i)
        regions[i].node = std::max(nodes[i], -1);  // below 0: why it does not know
}

}  // namespace

DeviceInfo Session::info() const {
    DeviceInfo info;
    info.api_version = parts_.capabilities.api_version;
    info.kernel_features = parts_.capabilities.features;
    info.adopted = adopted_;
    info.status = state_.status;
    info.features = state_.features;
    info.link_up = config_space_.status() != 0 && !driver_.broken();
    info.active_pairs = driver_.active_pairs();
    info.queue_pairs = parts_.shape.pairs;
    const net::Filter& filter = control_.state().filter;
    info.mac = filter.mac;
    info.promiscuous = filter.promiscuous;
    info.all_multicast = filter.all_multicast;
    info.unicast = filter.unicast.addresses.size();
    info.multicast = filter.multicast.addresses.size();
    info.vlans = filter.vlans.count();
    info.commands = control_.counters().commands;
    info.refused = control_.counters().refused;
    info.problems = health_.problems();
    const uint32_t control =
        control_queue(parts_.shape, state_.features).value_or(2U * parts_.shape.pairs);
    for (uint32_t group = 0; group < parts_.shape.data_groups(); ++group) {
        uint32_t first = 2 * group;
        uint32_t last = first + 1;
        if (!parts_.shape.grouped)
            last = parts_.shape.queues() - 1;
        else if (!parts_.shape.group_per_pair)
            last = std::min(control, 2U * parts_.shape.pairs) - 1;
        else if (first == control)
            ++first;
        info.groups.push_back({false, state_.asid[group], first, last});
    }
    if (parts_.shape.has_control() && parts_.shape.grouped)
        info.groups.push_back({true, state_.asid[parts_.shape.control_group()], control, control});
    for (uint32_t space = 0; space < spaces_.count(); ++space) {
        auto& regions = info.spaces.emplace_back();
        for (const memory::Region& region : spaces_.regions(space))
            regions.push_back(
                {region.first,
                 region.last,
                 region.allows(memory::Access::read),
                 region.allows(memory::Access::write)}
            );
        locate(spaces_.regions(space), regions);
    }
    return info;
}

std::optional<QueueInfo> Session::queue_info(uint32_t index) const {
    if (index >= parts_.shape.queues())
        return std::nullopt;
    const Queue& queue = parts_.queues[index];
    QueueInfo info;
    info.use = index % 2 == 0 ? QueueUse::to_guest : QueueUse::from_guest;
    // The last queue is never one of data, whatever was negotiated.
    if (is_control(index) || index == 2U * parts_.shape.pairs)
        info.use = QueueUse::control;
    else
        info.pair = static_cast<uint16_t>(index / 2);
    info.group = group_of(parts_.shape, state_.features, index);
    info.asid = space_of(parts_.shape, state_, index);
    info.ready = state_.ready(index);
    info.running = queue.running;
    info.stalled = queue.stalled;
    info.quarantined = queue.quarantined;
    if (queue.started_with) {
        info.size = queue.ring.size();
        info.desc = queue.started_with->desc_addr;
        info.driver = queue.started_with->driver_addr;
        info.device = queue.started_with->device_addr;
    }
    return info;
}

}  // namespace vduse::device
