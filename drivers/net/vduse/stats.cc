// SPDX-License-Identifier: BSD-3-Clause

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

// Those that count a drop reason have its name in kDropNames.
constexpr std::array kXStats = {
    XStat{"rx", "malformed_errors", lost_from_guest<Drop::malformed>},
    XStat{"rx", "bad_header_errors", lost_from_guest<Drop::bad_header>},
    XStat{"rx", "too_short_errors", lost_from_guest<Drop::too_short>},
    XStat{"rx", "too_long_dropped", lost_from_guest<Drop::too_long>},
    XStat{"rx", "bad_csum_errors", lost_from_guest<Drop::bad_csum>},
    XStat{"rx", "bad_gso_errors", lost_from_guest<Drop::bad_gso>},
    XStat{"rx", "csum", [](const PairStats& s) { return s.from_guest.csum; }},
    XStat{"rx", "large", [](const PairStats& s) { return s.from_guest.large; }},
    XStat{"rx", "iotlb_misses", [](const PairStats& s) { return s.from_guest.misses; }},
    XStat{"rx", "interrupts", [](const PairStats& s) { return s.from_guest.interrupts; }},
    XStat{"tx", "malformed_errors", lost_to_guest<Drop::malformed>},
    XStat{"tx", "too_short_errors", lost_to_guest<Drop::too_short>},
    XStat{"tx", "too_long_dropped", lost_to_guest<Drop::too_long>},
    XStat{"tx", "no_room_dropped", lost_to_guest<Drop::no_room>},
    XStat{"tx", "no_buffer", [](const PairStats& s) { return s.to_guest.no_buffer; }},
    XStat{"tx", "filtered_dropped", lost_to_guest<Drop::filtered>},
    XStat{"tx", "bad_csum_errors", lost_to_guest<Drop::bad_csum>},
    XStat{"tx", "bad_gso_errors", lost_to_guest<Drop::bad_gso>},
    XStat{"tx", "csum", [](const PairStats& s) { return s.to_guest.csum; }},
    XStat{"tx", "large", [](const PairStats& s) { return s.to_guest.large; }},
    XStat{"tx", "csum_done", [](const PairStats& s) { return s.to_guest.csum_done; }},
    XStat{"tx", "cut", [](const PairStats& s) { return s.to_guest.cut; }},
    XStat{"tx", "iotlb_misses", [](const PairStats& s) { return s.to_guest.misses; }},
    XStat{"tx", "interrupts", [](const PairStats& s) { return s.to_guest.interrupts; }},
};

struct PortXStat {
    const char* name;
    uint64_t (*value)(const PortStats& stats);
};
constexpr std::array kPortXStats = {
    PortXStat{
        "rx_vlan_filtered_dropped", [](const PortStats& s) { return s.vlan_filtered.frames; }},
    PortXStat{"tx_vlan_insert_errors", [](const PortStats& s) { return s.vlan_errors; }},
    PortXStat{"rx_csum_done", [](const PortStats& s) { return s.csum_done; }},
    PortXStat{"rx_segmented", [](const PortStats& s) { return s.cut; }},
    PortXStat{"rx_unfinished_dropped", [](const PortStats& s) { return s.unfinished_dropped; }},
};

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
        // A frame refused by the guest's own filter is no error, and a bad guest buffer loses no
        // frame.
        for (const Drop drop : {Drop::too_long, Drop::no_room, Drop::bad_csum, Drop::bad_gso})
            stats.oerrors += to.drops[at(drop)];
    }
    // What the application got.
    stats.ipackets += port.segments.frames - port.withheld.frames - port.vlan_filtered.frames;
    stats.ibytes += port.segments.bytes - port.withheld.bytes - port.vlan_filtered.bytes;
    stats.imissed += port.unfinished_dropped;
    stats.oerrors += port.vlan_errors;
}

unsigned xstat_count(uint16_t pairs) {
    return static_cast<unsigned>(pairs * kXStats.size() + kPortXStats.size());
}

void name_xstats(uint16_t pairs, std::span<rte_eth_xstat_name> names) {
    size_t i = 0;
    for (const PortXStat& xstat : kPortXStats)
        rte_strscpy(names[i++].name, xstat.name, RTE_ETH_XSTATS_NAME_SIZE);
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
    for (const PortXStat& xstat : kPortXStats)
        add(xstat.value(port));
    for (size_t pair = 0; pair < port.pairs; ++pair)
        for (const XStat& xstat : kXStats)
            add(xstat.value(port.pair[pair]));
}

}  // namespace vduse::pmd
