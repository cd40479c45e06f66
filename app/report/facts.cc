// SPDX-License-Identifier: BSD-3-Clause

#include "app/report/facts.h"

#include <rte_lcore.h>

#include <string>

namespace vduse::app {
namespace {

void add_to(QueueStats& sum, const QueueStats& more) {
    for (const auto number : kQueueStats)
        sum.*number += more.*number;
    for (size_t i = 0; i < sum.drops.size(); ++i)
        sum.drops[i] += more.drops[i];
}

}  // namespace

Facts device_facts(const Endpoint& endpoint, const DeviceInfo& info, unsigned control_lcore) {
    Facts facts = describe(info);
    for (size_t i = 0; i < info.groups.size(); ++i) {
        const unsigned lcore = endpoint.lcore_of(info.groups[i], control_lcore);
        if (lcore != LCORE_ID_ANY)
            facts.push_back({"groups." + std::to_string(i) + ".lcore", lcore});
    }
    return facts;
}

Facts traffic_facts(const Endpoint& endpoint, uint16_t first, uint16_t last) {
    QueueStats from;
    QueueStats to;
    uint64_t not_taken = 0;
    uint64_t merged = 0;
    for (uint16_t pair = first; pair <= last; ++pair) {
        add_to(from, endpoint.pairs[pair].from_guest_stats());
        add_to(to, endpoint.pairs[pair].to_guest_stats());
        not_taken += endpoint.dropped[pair].read();
        merged += endpoint.merged[pair].read();
    }
    const Facts to_guest = join(describe(to), {{"not_taken", not_taken}, {"merged", merged}});
    return join(under("from_guest", describe(from)), under("to_guest", to_guest));
}

Facts bridge_facts(const Bridge& bridge) {
    const BridgeCounters& counters = bridge.counters();
    return {
        {"stations", bridge.stations()},
        {"flooded", counters.flooded.read()},
        {"returned", counters.returned.read()},
        {"moved", counters.moved.read()},
        {"not_learned", counters.not_learned.read()},
        {"too_short", counters.too_short.read()},
        {"too_long", counters.too_long.read()},
        {"no_mbuf", counters.no_mbuf.read()},
        {"link_local", counters.link_local.read()},
        {"bad_source", counters.bad_source.read()},
        {"not_own", counters.not_own.read()}};
}

}  // namespace vduse::app
