// SPDX-License-Identifier: BSD-3-Clause

// How it works: see vduse/describe.h. Numbers that people read in hexadecimal are strings. So are
// regions, because there may be many of them.
#include "vduse/describe.h"

#include <algorithm>
#include <cinttypes>
#include <utility>

#include "base/text.h"
#include "vduse/drop.h"

namespace vduse {
namespace {

const char* name_of(QueueUse use) {
    switch (use) {
        case QueueUse::to_guest:
            return "to_guest";
        case QueueUse::from_guest:
            return "from_guest";
        case QueueUse::control:
            return "control";
    }
    return "unknown";
}

std::string hexadecimal(uint64_t value) {
    return text("0x%" PRIx64, value);
}

std::string describe(const RegionInfo& region) {
    const std::string node = region.node < 0 ? "unknown" : std::to_string(region.node);
    return text(
        "0x%" PRIx64 "-0x%" PRIx64 " %c%c node %s",
        region.first,
        region.last,
        region.readable ? 'r' : '-',
        region.writable ? 'w' : '-',
        node.c_str()
    );
}

Facts describe(const GroupInfo& group) {
    return {
        {"use", group.control ? "control" : "data"},
        {"asid", group.asid},
        {"first_queue", group.first_queue},
        {"last_queue", group.last_queue}};
}

Facts describe(const std::vector<RegionInfo>& space) {
    std::vector<std::string> regions;
    for (const RegionInfo& region : space)
        regions.push_back(describe(region));
    return {{"region_count", space.size()}, {"regions", std::move(regions)}};
}

/// The facts of each item, below `path` and the item's number.
template <class Item>
Facts numbered(const std::string& path, const std::vector<Item>& items) {
    Facts facts;
    for (size_t i = 0; i < items.size(); ++i)
        facts = join(std::move(facts), under(path + "." + std::to_string(i), describe(items[i])));
    return facts;
}

}  // namespace

Facts describe(const DeviceInfo& device) {
    Facts facts{
        {"name", device.name},
        {"api_version", device.api_version},
        {"kernel_features", kernel_feature_names(device.kernel_features)},
        {"status", hexadecimal(device.status)},
        {"status_names", status_names(device.status)},
        {"features", hexadecimal(device.features)},
        {"feature_names", feature_names(device.features)},
        {"link", device.link_up ? "up" : "down"},
        {"broken", device.broken},
        {"queue_pairs", device.queue_pairs},
        {"active_pairs", device.active_pairs},
        {"mac", text_of(device.mac)},
        {"promiscuous", device.promiscuous},
        {"all_multicast", device.all_multicast},
        {"unicast", device.unicast},
        {"multicast", device.multicast},
        {"vlans", device.vlans},
        {"offloads_off", feature_names(device.offloads_off)},
        {"problems", device.problems}};
    facts = join(std::move(facts), numbered("groups", device.groups));
    return join(std::move(facts), numbered("spaces", device.spaces));
}

Facts describe(const QueueInfo& queue) {
    Facts facts{{"use", name_of(queue.use)}};
    if (queue.use != QueueUse::control)
        facts.push_back({"pair", queue.pair});
    facts = join(
        std::move(facts),
        {{"group", queue.group},
         {"asid", queue.asid},
         {"ready", queue.ready},
         {"running", queue.running},
         {"stalled", queue.stalled},
         {"quarantined", queue.quarantined},
         {"size", queue.size},
         {"desc", hexadecimal(queue.desc)},
         {"driver", hexadecimal(queue.driver)},
         {"device", hexadecimal(queue.device)}}
    );
    return join(std::move(facts), under("stats", describe(queue.stats)));
}

Facts describe(const QueueStats& stats) {
    Facts facts{{"frames", stats.frames}, {"bytes", stats.bytes}, {"dropped", stats.dropped}};
    for (size_t i = 0; i < kDropReasons; ++i)
        facts.push_back({std::string("dropped_") + kDropNames[i], stats.drops[i]});
    return join(
        std::move(facts),
        {{"no_mbuf", stats.no_mbuf},
         {"no_buffer", stats.no_buffer},
         {"interrupts", stats.interrupts},
         {"misses", stats.misses},
         {"csum", stats.csum},
         {"large", stats.large},
         {"csum_done", stats.csum_done},
         {"cut", stats.cut}}
    );
}

const Fact* find(const Facts& facts, std::string_view path) {
    const auto fact = std::ranges::find(facts, path, &Fact::path);
    return fact != facts.end() ? &*fact : nullptr;
}

Facts below(const Facts& facts, const std::string& path) {
    const std::string front = path + ".";
    Facts found;
    for (const Fact& fact : facts)
        if (fact.path.starts_with(front))
            found.push_back({fact.path.substr(front.size()), fact.value});
    return found;
}

Facts under(const std::string& path, Facts facts) {
    for (Fact& fact : facts)
        fact.path.insert(0, path + ".");
    return facts;
}

Facts join(Facts first, const Facts& more) {
    first.insert(first.end(), more.begin(), more.end());
    return first;
}

std::string text_of(const Fact& fact) {
    struct Words {
        std::string operator()(uint64_t number) const { return std::to_string(number); }
        std::string operator()(bool yes) const { return yes ? "yes" : "no"; }
        std::string operator()(const std::string& words) const { return words; }
        std::string operator()(const std::vector<std::string>& list) const {
            std::string joined;
            for (const std::string& words : list)
                joined.append(joined.empty() ? "" : ", ").append(words);
            return joined;
        }
    };
    return std::visit(Words(), fact.value);
}

std::string text_of(const MacAddress& mac) {
    return text("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

}  // namespace vduse
