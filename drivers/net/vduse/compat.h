// SPDX-License-Identifier: BSD-3-Clause

// The differences between the supported DPDK releases: 22.11 (Debian 12), 24.11 (Debian 13), 25.11.
// Also includes all driver headers of DPDK.
#pragma once

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <pthread.h>
#include <rte_lcore.h>
#include <rte_version.h>

#include <cstdint>

namespace vduse::pmd {

// ---- a thread on the CPUs that EAL reserves for control work

#if RTE_VERSION >= RTE_VERSION_NUM(23, 7, 0, 0)
using Thread = rte_thread_t;
using ThreadResult = uint32_t;
inline int create_thread(
    Thread* thread, const char* name, ThreadResult (*body)(void*), void* argument
) {
    return rte_thread_create_control(thread, name, body, argument);
}
inline void join_thread(Thread thread) {
    rte_thread_join(thread, nullptr);
}
#else
using Thread = pthread_t;
using ThreadResult = void*;
inline int create_thread(
    Thread* thread, const char* name, ThreadResult (*body)(void*), void* argument
) {
    return rte_ctrl_thread_create(thread, name, nullptr, body, argument);
}
inline void join_thread(Thread thread) {
    pthread_join(thread, nullptr);
}
#endif

// ---- statistics of single queues: part of rte_eth_stats in 22.11, a struct of their own later

// NOLINTBEGIN(cppcoreguidelines-macro-usage): `op` may be a template
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
/// Calls `op(dev, stats, queues)`. `queues` may be nullptr.
#define VDUSE_STATS_GET(op)                                                      \
    [](rte_eth_dev* dev, rte_eth_stats* stats, eth_queue_stats* queues) -> int { \
        return op(dev, stats, queues);                                           \
    }
using CountResult = int;
#else
#define VDUSE_STATS_GET(op) \
    [](rte_eth_dev* dev, rte_eth_stats* stats) -> int { return op(dev, stats, stats); }
using CountResult = uint32_t;
#endif
// NOLINTEND(cppcoreguidelines-macro-usage)

// ---- fill level of tx queues: required by later releases

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
inline void set_tx_queue_count(rte_eth_dev* dev, int (*count)(void* queue)) {
    dev->tx_queue_count = count;
}
#else
inline void set_tx_queue_count(rte_eth_dev* /*dev*/, int (* /*count*/)(void* queue)) {
}
#endif

}  // namespace vduse::pmd
