// SPDX-License-Identifier: BSD-3-Clause

// Statistics of a port, from the counters of its device's pairs. The same code serves the primary
// process and secondary ones, which have a copy of the counters (secondary.h).
//
// xstats are named by the pair, because the drops of a pair do not belong to a single queue:
// rx_pair0_malformed_errors. OVS shows those that end in _errors or _dropped.
#pragma once

#include <rte_ethdev.h>

#include <span>

#include "secondary.h"

namespace vduse::pmd {

/// Everything but the single queues.
void add_up(const PortStats& port, rte_eth_stats& stats);

/// `queues` has q_ipackets and the like.
template <class Queues>
void add_up_queues(const PortStats& port, Queues& queues) {
    for (size_t queue = 0; queue < kCountedQueues; ++queue) {
        queues.q_ipackets[queue] += port.rx_queue[queue].frames;
        queues.q_ibytes[queue] += port.rx_queue[queue].bytes;
        queues.q_opackets[queue] += port.tx_queue[queue].frames;
        queues.q_obytes[queue] += port.tx_queue[queue].bytes;
    }
}

unsigned xstat_count(uint16_t pairs);
/// As many as there are.
void name_xstats(uint16_t pairs, std::span<rte_eth_xstat_name> names);
void get_xstats(const PortStats& port, std::span<rte_eth_xstat> values);

}  // namespace vduse::pmd
