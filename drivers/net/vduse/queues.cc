// SPDX-License-Identifier: BSD-3-Clause

// How it works: ethdev has checked the number of the queue.
#include "queues.h"

#include <cerrno>
#include <memory>
#include <new>
#include <utility>

namespace vduse::pmd {

void rx_queue_release(rte_eth_dev* dev, uint16_t index) {
    const std::unique_ptr<RxQueue> gone(
        static_cast<RxQueue*>(std::exchange(dev->data->rx_queues[index], nullptr))
    );
}

void tx_queue_release(rte_eth_dev* dev, uint16_t index) {
    const std::unique_ptr<TxQueue> gone(
        static_cast<TxQueue*>(std::exchange(dev->data->tx_queues[index], nullptr))
    );
}

void drop_held(const rte_eth_dev* dev) {
    for (uint16_t i = 0; i < dev->data->nb_rx_queues; ++i)
        if (dev->data->rx_queues[i] != nullptr)
            rx_queue(dev, i).finisher.drop_held(port_of(dev).queues[i].finisher);
}

int rx_queue_setup(
    rte_eth_dev* dev,
    uint16_t index,
    uint16_t descriptors,
    unsigned socket,
    const rte_eth_rxconf* conf,
    rte_mempool* pool
) {
    if (pool == nullptr)
        return -EINVAL;
    auto queue = std::unique_ptr<RxQueue>(new (std::nothrow) RxQueue);
    if (!queue)
        return -ENOMEM;
    queue->port = &port_of(dev);
    queue->index = index;
    queue->node = static_cast<int>(socket);
    queue->descriptors = descriptors;
    queue->deferred = conf->rx_deferred_start != 0;
    queue->pool = pool;
    dev->data->rx_queues[index] = queue.release();
    return 0;
}

int tx_queue_setup(
    rte_eth_dev* dev,
    uint16_t index,
    uint16_t descriptors,
    unsigned /*socket*/,
    const rte_eth_txconf* conf
) {
    auto queue = std::unique_ptr<TxQueue>(new (std::nothrow) TxQueue);
    if (!queue)
        return -ENOMEM;
    queue->port = &port_of(dev);
    queue->index = index;
    queue->descriptors = descriptors;
    queue->deferred = conf->tx_deferred_start != 0;
    dev->data->tx_queues[index] = queue.release();
    return 0;
}

int rx_queue_start(rte_eth_dev* dev, uint16_t index) {
    return set_running(rx_queue(dev, index), dev->data->rx_queue_state[index], true);
}

int rx_queue_stop(rte_eth_dev* dev, uint16_t index) {
    // Held frames stay until its next start: testpmd stops queues while they are polled.
    return set_running(rx_queue(dev, index), dev->data->rx_queue_state[index], false);
}

int tx_queue_start(rte_eth_dev* dev, uint16_t index) {
    return set_running(tx_queue(dev, index), dev->data->tx_queue_state[index], true);
}

int tx_queue_stop(rte_eth_dev* dev, uint16_t index) {
    return set_running(tx_queue(dev, index), dev->data->tx_queue_state[index], false);
}

void rxq_info_get(rte_eth_dev* dev, uint16_t index, rte_eth_rxq_info* info) {
    const RxQueue& queue = rx_queue(dev, index);
    info->mp = queue.pool;
    info->scattered_rx = dev->data->scattered_rx;
    info->nb_desc = queue.descriptors;
    info->conf.rx_deferred_start = queue.deferred ? 1 : 0;
    info->conf.rx_drop_en = 0;
    info->conf.offloads = dev->data->dev_conf.rxmode.offloads;
}

void txq_info_get(rte_eth_dev* dev, uint16_t index, rte_eth_txq_info* info) {
    const TxQueue& queue = tx_queue(dev, index);
    info->nb_desc = queue.descriptors;
    info->conf.tx_deferred_start = queue.deferred ? 1 : 0;
    info->conf.offloads = dev->data->dev_conf.txmode.offloads;
}

// Sent frames are freed at once, so there is nothing to clean up.
int tx_done_cleanup(void* /*queue*/, uint32_t /*count*/) {
    return 0;
}

}  // namespace vduse::pmd
