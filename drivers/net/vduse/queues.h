// SPDX-License-Identifier: BSD-3-Clause

// Queues of the port: setup, start, stop and information. Rows of the table in ethdev_ops.cc.
#pragma once

#include "compat.h"
#include "port.h"

namespace vduse::pmd {

inline RxQueue& rx_queue(const rte_eth_dev* dev, uint16_t index) {
    return *static_cast<RxQueue*>(dev->data->rx_queues[index]);
}

inline TxQueue& tx_queue(const rte_eth_dev* dev, uint16_t index) {
    return *static_cast<TxQueue*>(dev->data->tx_queues[index]);
}

/// Starts or stops a queue: bursts on a stopped queue move no frames. Returns 0.
template <class Queue>
int set_running(Queue& queue, uint8_t& state, bool run) {
    queue.running = run;
    state = run ? RTE_ETH_QUEUE_STATE_STARTED : RTE_ETH_QUEUE_STATE_STOPPED;
    return 0;
}

void rx_queue_release(rte_eth_dev* dev, uint16_t index);
void tx_queue_release(rte_eth_dev* dev, uint16_t index);
/// Frees the frames that rx queues hold for later bursts.
void drop_held(const rte_eth_dev* dev);
int rx_queue_setup(
    rte_eth_dev* dev,
    uint16_t index,
    uint16_t descriptors,
    unsigned socket,
    const rte_eth_rxconf* conf,
    rte_mempool* pool
);
int tx_queue_setup(
    rte_eth_dev* dev,
    uint16_t index,
    uint16_t descriptors,
    unsigned /*socket*/,
    const rte_eth_txconf* conf
);
int rx_queue_start(rte_eth_dev* dev, uint16_t index);
int rx_queue_stop(rte_eth_dev* dev, uint16_t index);
int tx_queue_start(rte_eth_dev* dev, uint16_t index);
int tx_queue_stop(rte_eth_dev* dev, uint16_t index);
void rxq_info_get(rte_eth_dev* dev, uint16_t index, rte_eth_rxq_info* info);
void txq_info_get(rte_eth_dev* dev, uint16_t index, rte_eth_txq_info* info);
int tx_done_cleanup(void* /*queue*/, uint32_t /*count*/);

}  // namespace vduse::pmd
