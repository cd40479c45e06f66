// How it works: one function for each kind of line. `dropped` of a pair's to_guest side is the sum
// of what the device refused and of what it had no room for, which is the switch's to count.
#include "app/report/stats_text.h"

#include <rte_ethdev.h>

#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "app/ports/port.h"
#include "vduse/info.h"

namespace vduse::app {
namespace {

[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
    std::array<char, 512> line{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    text += line.data();
}

const char* up_or_down(bool up) {
    return up ? "up" : "down";
}

const char* on_or_off(bool on) {
    return on ? "on" : "off";
}

std::string lcore_text(unsigned lcore) {
    return lcore == LCORE_ID_ANY ? "none" : std::to_string(lcore);
}

void append_groups(
    std::string& text, const DeviceInfo& info, const Endpoint& endpoint, unsigned control_lcore
) {
    for (size_t i = 0; i < info.groups.size(); ++i) {
        const GroupInfo& group = info.groups[i];
        const std::string lcore = lcore_text(endpoint.lcore_of(group, control_lcore));
        append(
            text,
            "  group %zu %-8s asid %" PRIu32 "  queues %" PRIu32 "-%" PRIu32 "  lcore %s\n",
            i,
            group.control ? "control" : "data",
            group.asid,
            group.first_queue,
            group.last_queue,
            lcore.c_str()
        );
    }
}

void append_spaces(std::string& text, const DeviceInfo& info) {
    for (size_t i = 0; i < info.spaces.size(); ++i) {
        append(text, "  space %zu: %zu regions", i, info.spaces[i].size());
        const char* separator = ": ";
        for (const RegionInfo& region : info.spaces[i]) {
            append(
                text,
                "%s0x%" PRIx64 "-0x%" PRIx64 " %c%c",
                separator,
                region.first,
                region.last,
                region.readable ? 'r' : '-',
                region.writable ? 'w' : '-'
            );
            separator = ", ";
        }
        text += "\n";
    }
}

void append_pairs(std::string& text, const Endpoint& endpoint) {
    for (uint16_t pair = 0; pair < endpoint.queues; ++pair) {
        const QueueStats from = endpoint.pairs[pair].from_guest_stats();
        const QueueStats to = endpoint.pairs[pair].to_guest_stats();
        append(
            text,
            "  pair %u: from_guest %" PRIu64 " frames %" PRIu64 " bytes %" PRIu64
            " dropped, to_guest %" PRIu64 " frames %" PRIu64 " bytes %" PRIu64 " dropped\n",
            static_cast<unsigned>(pair),
            from.frames,
            from.bytes,
            from.dropped,
            to.frames,
            to.bytes,
            to.dropped + endpoint.dropped[pair].read()
        );
    }
}

void append_control(std::string& text, const DeviceInfo& info) {
    append(
        text, "  control: %" PRIu64 " commands, %" PRIu64 " refused\n", info.commands, info.refused
    );
    const auto& mac = info.mac;
    append(
        text,
        "  mac %02x:%02x:%02x:%02x:%02x:%02x, promisc %s, allmulti %s, %zu unicast, %zu multicast, "
        "%zu vlans\n",
        mac[0],
        mac[1],
        mac[2],
        mac[3],
        mac[4],
        mac[5],
        on_or_off(info.promiscuous),
        on_or_off(info.all_multicast),
        info.unicast,
        info.multicast,
        info.vlans
    );
}

}  // namespace

std::string device_block(const Endpoint& endpoint, unsigned control_lcore) {
    const DeviceInfo info = endpoint.device->info();
    std::string text = endpoint.name;
    append(
        text,
        ": link %s, status 0x%x, features 0x%" PRIx64 ", pairs %u of %u\n",
        up_or_down(info.link_up),
        static_cast<unsigned>(info.status),
        info.features,
        static_cast<unsigned>(info.active_pairs),
        static_cast<unsigned>(info.queue_pairs)
    );
    append_groups(text, info, endpoint, control_lcore);
    append_spaces(text, info);
    append_pairs(text, endpoint);
    append_control(text, info);
    for (const std::string& problem : info.problems)
        append(text, "  problem: %s\n", problem.c_str());
    return text;
}

std::string port_line(const Endpoint& endpoint) {
    rte_eth_stats stats{};  // zeros where the driver has none
    const bool in_service = endpoint.in_service.load(std::memory_order_relaxed);
    if (in_service)
        (void)rte_eth_stats_get(endpoint.port, &stats);
    uint64_t dropped = 0;
    for (uint16_t queue = 0; queue < endpoint.queues; ++queue)
        dropped += endpoint.dropped[queue].read();
    std::string text = endpoint.name;
    append(
        text,
        ": link %s, rx %" PRIu64 " frames %" PRIu64 " bytes, tx %" PRIu64 " frames %" PRIu64
        " bytes %" PRIu64 " dropped%s\n",
        up_or_down(endpoint.link.up.load(std::memory_order_relaxed)),
        stats.ipackets,
        stats.ibytes,
        stats.opackets,
        stats.obytes,
        dropped,
        in_service ? "" : ", out of service"
    );
    return text;
}

std::string bridge_line(const Bridge& bridge) {
    const BridgeCounters& counters = bridge.counters();
    std::string text = bridge.name();
    append(
        text,
        ": %" PRIu64 " stations, %" PRIu64 " flooded, %" PRIu64 " returned, %" PRIu64
        " moved, %" PRIu64 " not learned, %" PRIu64 " too short, %" PRIu64 " too long, %" PRIu64
        " no mbuf, %" PRIu64 " link local, %" PRIu64 " bad source, %" PRIu64 " not own\n",
        bridge.stations(),
        counters.flooded.read(),
        counters.returned.read(),
        counters.moved.read(),
        counters.not_learned.read(),
        counters.too_short.read(),
        counters.too_long.read(),
        counters.no_mbuf.read(),
        counters.link_local.read(),
        counters.bad_source.read(),
        counters.not_own.read()
    );
    return text;
}

std::string worker_line(const WorkerInfo& worker) {
    std::string text;
    append(
        text,
        "lcore %u: %" PRIu64 " sleeps, %" PRIu64 " wake-ups\n",
        worker.lcore,
        worker.sleeps,
        worker.wake_ups
    );
    return text;
}

}  // namespace vduse::app
