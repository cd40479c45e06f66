// SPDX-License-Identifier: BSD-3-Clause

// Which checksums and segmentation a port does instead of this process.
//
// If a device leaves such work to the other side, the offloads that the port has are enabled, with
// two exceptions:
//
//   net_tap  does them in software, as this process would, and drops frames that it cannot handle:
//            large IPv6 frames
//   LRO      of drivers other than net_virtio and net_virtio_user: a large frame must have the
//            length of its segments, because the receiver may have to segment it again. Not all
//            drivers set it
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

/// The offloads to enable for a port.
PortOffloads usable_offloads(std::string_view driver, const rte_eth_dev_info& info);

/// The work that can be left to a port with these offloads.
Offloads offloads_of(const PortOffloads& port);

}  // namespace vduse::app
