#include "stats.h"
#include "vduse/drop.h"

#include <rte_string_fns.h>

#include <array>
#include <cstdio>

namespace vduse::pmd {
namespace {

constexpr size_t at(Drop drop) {
    return static_cast<size_t>(drop);
}

struct XStat {
    const char* direction;
    const char* name;
    uint64_t (*value)(const PairStats& stats);
};

template <Drop drop>
uint64_t lost_from_guest(const PairStats& stats) {
    return stats.from_guest.drops[at(drop)];
}
template <Drop drop>
uint64_t lost_to_guest(const PairStats& stats) {
    return stats.to_guest.drops[at(drop)];
}

// What a frame or a chain was dropped for, in the words of kDropNames.
constexpr std::array kXStats = {
    XStat{"rx", "malformed_errors", lost_from_guest<Drop::malformed>},
    XStat{"rx", "bad_header_errors", lost_from_guest<Drop::bad_header>},
    XStat{"rx", "too_short_errors", lost_from_guest<Drop::too_short>},
    XStat{"rx", "too_long_dropped", lost_from_guest<Drop::too_long>},
    XStat{"rx", "iotlb_misses", [](const PairStats& s) { return s.from_guest.misses; }},
    XStat{"rx", "interrupts", [](const PairStats& s) { return s.from_guest.interrupts; }},
    XStat{"tx", "malformed_errors", lost_to_guest<Drop::malformed>},
    XStat{"tx", "too_short_errors", lost_to_guest<Drop::too_short>},
    XStat{"tx", "too_long_dropped", lost_to_guest<Drop::too_long>},
    XStat{"tx", "no_room_dropped", lost_to_guest<Drop::no_room>},
    XStat{"tx", "no_buffer", [](const PairStats& s) { return s.to_guest.no_buffer; }},
    XStat{"tx", "filtered_dropped", lost_to_guest<Drop::filtered>},
    XStat{"tx", "iotlb_misses", [](const PairStats& s) { return s.to_guest.misses; }},
    XStat{"tx", "interrupts", [](const PairStats& s) { return s.to_guest.interrupts; }},
};

constexpr std::array kPortXStats = {"rx_vlan_filtered_dropped", "tx_vlan_insert_errors"};

}  // namespace

void add_up(const PortStats& port, rte_eth_stats& stats) {
    for (size_t pair = 0; pair < port.pairs; ++pair) {
        const auto& [from, to] = port.pair[pair];
        stats.ipackets += from.frames;
        stats.ibytes += from.bytes;
        stats.ierrors += from.dropped;
        stats.rx_nombuf += from.no_mbuf;
        stats.opackets += to.frames;
        stats.obytes += to.bytes;
        // What the guest's own filter refuses is no error, and bad buffers of its cost no frame.
        stats.oerrors += to.drops[at(Drop::too_long)] + to.drops[at(Drop::no_room)];
    }
    stats.ipackets -= port.vlan_filtered.frames;
    stats.ibytes -= port.vlan_filtered.bytes;
    stats.oerrors += port.vlan_errors;
}

unsigned xstat_count(uint16_t pairs) {
    return static_cast<unsigned>(pairs * kXStats.size() + kPortXStats.size());
}

void name_xstats(uint16_t pairs, std::span<rte_eth_xstat_name> names) {
    size_t i = 0;
    for (const char* name : kPortXStats)
        rte_strscpy(names[i++].name, name, RTE_ETH_XSTATS_NAME_SIZE);
    for (unsigned pair = 0; pair < pairs; ++pair)
        for (const XStat& xstat : kXStats)
            std::snprintf(
                names[i++].name,
                RTE_ETH_XSTATS_NAME_SIZE,
                "%s_pair%u_%s",
                xstat.direction,
                pair,
                xstat.name
            );
}

void get_xstats(const PortStats& port, std::span<rte_eth_xstat> values) {
    uint64_t i = 0;
    const auto add = [&](uint64_t value) {
        values[i] = {i, value};
        ++i;
    };
    add(port.vlan_filtered.frames);
    add(port.vlan_errors);
    for (size_t pair = 0; pair < port.pairs; ++pair)
        for (const XStat& xstat : kXStats)
            add(xstat.value(port.pair[pair]));
}

}  // namespace vduse::pmd
