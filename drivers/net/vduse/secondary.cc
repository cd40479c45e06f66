// SPDX-License-Identifier: BSD-3-Clause

#include "secondary.h"
#include "vduse/info.h"

#include <unistd.h>

namespace vduse::pmd {
namespace {

void subtract(QueueStats& stats, const QueueStats& before) {
    for (const auto number : kQueueStats)
        stats.*number -= before.*number;
    for (size_t i = 0; i < stats.drops.size(); ++i)
        stats.drops[i] -= before.drops[i];
}

void subtract(Traffic& traffic, const Traffic& before) {
    traffic.frames -= before.frames;
    traffic.bytes -= before.bytes;
}

}  // namespace

PortStats& PortStats::operator-=(const PortStats& before) {
    for (size_t i = 0; i < pair.size(); ++i) {
        subtract(pair[i].from_guest, before.pair[i].from_guest);
        subtract(pair[i].to_guest, before.pair[i].to_guest);
    }
    for (size_t i = 0; i < tx_queue.size(); ++i) {
        subtract(rx_queue[i], before.rx_queue[i]);
        subtract(tx_queue[i], before.tx_queue[i]);
    }
    subtract(vlan_filtered, before.vlan_filtered);
    vlan_errors -= before.vlan_errors;
    subtract(withheld, before.withheld);
    subtract(segments, before.segments);
    csum_done -= before.csum_done;
    cut -= before.cut;
    unfinished_dropped -= before.unfinished_dropped;
    return *this;
}

bool SecondaryStats::ask(std::chrono::milliseconds limit) {
    const uint32_t mine = wanted.fetch_add(1, std::memory_order_acq_rel) + 1;
    const auto end = std::chrono::steady_clock::now() + limit;
    // Numbers may wrap. The answer to a later request is as good.
    while (static_cast<int32_t>(made.load(std::memory_order_acquire) - mine) < 0) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        ::usleep(1000);
    }
    return true;
}

}  // namespace vduse::pmd
