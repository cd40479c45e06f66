// SPDX-License-Identifier: BSD-3-Clause

// The data that the processes of one DPDK application share about a port: statistics, link state
// and limits, for secondary processes.
//
// It is in the port's dev_private, which is in EAL's shared memory. The counters themselves are
// private to the primary process. A secondary process requests a copy by incrementing `wanted`. The
// primary's control thread checks that at least ten times a second, makes the copy and sets `made`.
// No copy is made unless one is requested.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "compat.h"
#include "vduse/device.h"
#include "vduse/info.h"
#include "vduse/limits.h"

namespace vduse::pmd {

struct PairStats {
    QueueStats from_guest;
    QueueStats to_guest;
};

/// Queues that ethdev keeps statistics of; there may be more.
inline constexpr uint16_t kCountedQueues = RTE_ETHDEV_QUEUE_STAT_CNTRS;

/// All counters of a port.
struct PortStats {
    uint16_t pairs = 0;
    std::array<PairStats, kMaxPairs> pair{};
    std::array<Traffic, kCountedQueues> rx_queue{};
    std::array<Traffic, kCountedQueues> tx_queue{};
    Traffic vlan_filtered;     ///< frames of VLANs that the application did not ask for
    uint64_t vlan_errors = 0;  ///< frames whose tag could not be put in
    // What a Finisher did (finisher.h), of all queues.
    Traffic withheld;
    Traffic segments;
    uint64_t csum_done = 0;
    uint64_t cut = 0;
    uint64_t unfinished_dropped = 0;

    PortStats& operator-=(const PortStats& before);
};

inline rte_eth_link link_of(bool up, uint32_t speed, bool full_duplex) {
    rte_eth_link link{};
    link.link_speed = speed;
    link.link_duplex = full_duplex ? RTE_ETH_LINK_FULL_DUPLEX : RTE_ETH_LINK_HALF_DUPLEX;
    link.link_autoneg = RTE_ETH_LINK_FIXED;
    link.link_status = up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    return link;
}

struct SecondaryStats {
    std::atomic<uint32_t> wanted = 0;
    std::atomic<uint32_t> made = 0;
    std::atomic<bool> up = false;
    uint16_t pairs = 0;
    uint64_t rx_offloads = 0;  ///< RTE_ETH_RX_OFFLOAD_*
    uint16_t max_mtu = 0;
    uint32_t speed = 0;
    bool full_duplex = true;
    PortStats stats;  ///< since the last reset

    /// Secondary process: gets a copy not older than this call. Returns false if the primary does
    /// not answer.
    [[nodiscard]] bool ask(std::chrono::milliseconds limit = std::chrono::seconds(2));
};
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

}  // namespace vduse::pmd
