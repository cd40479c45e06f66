// SPDX-License-Identifier: BSD-3-Clause

// The datapath of a port: bursts, and queries of a queue. The library processes the frames. This
// file only selects the pair, takes its lock, and handles VLAN tags, which virtio-net leaves to
// software.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "port.h"

namespace vduse::pmd {

/// eth_rx_burst_t and eth_tx_burst_t; `raw` is an RxQueue, or a TxQueue.
uint16_t rx_burst(void* raw, rte_mbuf** frames, uint16_t count) noexcept;
uint16_t tx_burst(void* raw, rte_mbuf** frames, uint16_t count) noexcept;

/// eth_tx_prep_t: stops at a frame that requests an unsupported offload, with rte_errno EINVAL.
uint16_t tx_prepare(void* raw, rte_mbuf** frames, uint16_t count) noexcept;

/// Buffers of the guest driver that wait for the queue, and frames that it holds. Any thread.
uint32_t rx_waiting(RxQueue& queue) noexcept;
uint32_t tx_waiting(TxQueue& queue) noexcept;

/// Asks the guest driver to kick when more frames arrive. Returns false if there are some already;
/// then the queue's interrupt comes at once. Any thread.
bool enable_interrupt(RxQueue& queue) noexcept;
void disable_interrupt(RxQueue& queue) noexcept;

}  // namespace vduse::pmd
