// SPDX-License-Identifier: BSD-3-Clause

// What a port does of checksums and segments, in place of us.
//
// A port is asked for what it has if a device on the other side leaves such work to others. There
// are two kinds of drivers that it is not left to:
//
//   net_tap  does it in software, as we would, and drops what it cannot do: large IPv6 frames
//   LRO      of others than net_virtio and net_virtio_user: a large frame must say how long its
//            segments were, for who gets it may have to cut it again. Not all drivers do.
//
// Threads: any; pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "vduse/offload.h"

struct rte_eth_dev_info;

namespace vduse::app {

/// RTE_ETH_TX_OFFLOAD and RTE_ETH_RX_OFFLOAD bits.
struct PortOffloads {
    uint64_t tx = 0;
    uint64_t rx = 0;

    [[nodiscard]] bool any() const { return tx != 0 || rx != 0; }
};

/// Those that a port is to be asked for.
PortOffloads usable_offloads(std::string_view driver, const rte_eth_dev_info& info);

/// What a port with these takes unfinished.
Offloads offloads_of(const PortOffloads& port);

}  // namespace vduse::app
