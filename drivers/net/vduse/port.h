// SPDX-License-Identifier: BSD-3-Clause

// One port: a device of the library, and its ethdev state.
//
//     probe      creates the device, and attaches it to the vDPA bus if attach= requests it
//     start      sets the carrier toward the guest up, and moves lookup tables to the node of the
//                polling threads; stop sets the carrier down
//     close      detaches the device from the bus, if probe attached it, and destroys it, unless
//                persist=1
//
// Queues of the port and pairs of the device are distinct. Rx queue i of n polls pairs i, i + n,
// ...; tx queue q sends on pair q modulo the number of pairs that the guest driver uses. So two tx
// queues may use the same pair, and a thread may query a queue's fill level while another polls it.
// Each pair has a lock for each direction, which costs one atomic exchange a burst.
//
// Primary process only; a secondary process uses `SecondaryStats` (secondary.h). Threads: ethdev
// operations come from any thread, one at a time for a port. `run` and link changes are executed by
// the control thread.
#pragma once

#include <rte_ethdev.h>
#include <rte_spinlock.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/counter.h"
#include "base/fd.h"
#include "compat.h"
#include "control_thread.h"
#include "devargs.h"
#include "finisher.h"
#include "secondary.h"
#include "vduse/device.h"
#include "vduse/info.h"
#include "vduse/large_buffers.h"
#include "vduse/limits.h"

namespace vduse::pmd {

/// The maximum number of pairs of a device. A port may have more queues than its device has pairs.
inline constexpr uint16_t kMaxQueues = kMaxPairs;
inline constexpr uint16_t kMaxVlan = 4095;
/// Addresses that an application may add. They have no effect.
inline constexpr uint32_t kMaxMacs = 64;

class Port;

/// The locks of one pair.
struct PairLocks {
    alignas(RTE_CACHE_LINE_SIZE) rte_spinlock_t from_guest = RTE_SPINLOCK_INITIALIZER;
    alignas(RTE_CACHE_LINE_SIZE) rte_spinlock_t to_guest = RTE_SPINLOCK_INITIALIZER;
};

/// Holds a lock for a scope.
class Locked {
  public:
    explicit Locked(rte_spinlock_t& lock) noexcept : lock_(lock) { rte_spinlock_lock(&lock_); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    ~Locked() { rte_spinlock_unlock(&lock_); }

  private:
    rte_spinlock_t& lock_;
};

struct alignas(RTE_CACHE_LINE_SIZE) RxQueue {
    Port* port = nullptr;
    uint16_t index = 0;
    int node = -1;             ///< NUMA node of the polling thread, from rx_queue_setup; -1: any
    uint16_t descriptors = 0;  ///< as requested; the guest driver decides the ring size
    rte_mempool* pool = nullptr;
    bool deferred = false;
    std::atomic<bool> running = false;
    uint16_t stride = 1;  ///< it polls every stride-th pair, starting at `index`
    uint16_t next = 0;    ///< the pair that the next burst begins with
    UniqueFd interrupts;  ///< epoll over the kick eventfds of its pairs
    Finisher finisher;
};

struct alignas(RTE_CACHE_LINE_SIZE) TxQueue {
    Port* port = nullptr;
    uint16_t index = 0;
    uint16_t descriptors = 0;
    bool deferred = false;
    std::atomic<bool> running = false;
};

/// Counters of the rx and tx queue with one number. They outlive a new setup of the queues.
struct alignas(RTE_CACHE_LINE_SIZE) QueueCounters {
    Counter tx_frames;
    Counter tx_bytes;
    Counter vlan_errors;  ///< frames whose VLAN tag could not be inserted
    alignas(RTE_CACHE_LINE_SIZE) Counter rx_frames;
    Counter rx_bytes;
    Counter vlan_filtered;  ///< frames of VLANs that the application did not enable
    Counter vlan_filtered_bytes;
    FinisherCounters finisher;
};

/// What bursts use of a port. The operations of the port set it.
struct PortDatapath {
    std::unique_ptr<Device> device;
    std::vector<QueuePair> queue_pairs;  ///< of the device
    std::unique_ptr<PairLocks[]> locks;
    std::unique_ptr<LargeBuffers> large_buffers;  ///< with ext-buffer=1
    std::atomic<bool> running = false;            ///< between start and stop
    std::atomic<uint32_t> longest = 0;            ///< bytes of a frame from the guest
    std::atomic<bool> scatter = false;            ///< the application gets chained mbufs
    std::atomic<RxRules> rx_rules;
    std::atomic<bool> vlan_strip = false;
    std::atomic<bool> vlan_filter = false;
    std::atomic<bool> vlan_insert = false;
    std::array<std::atomic<uint64_t>, (kMaxVlan + 1) / 64> vlans{};
    uint16_t number = RTE_MAX_ETHPORTS;  ///< of the port

    std::array<QueueCounters, kMaxQueues> queues;
};

class Port final : public PeriodicTask, public PortDatapath {
  public:
    /// Creates the device and attaches it. On an error nothing is left behind.
    static Result<std::unique_ptr<Port>> create(DevArgs arguments, ControlThread control);
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    virtual ~Port();

    /// Sets the port's ethdev. From then on, `run` is called.
    void serve(rte_eth_dev* dev);

    void start();
    void stop();
    void set_admin(bool up);
    Result<void> set_mac(const std::array<uint8_t, 6>& mac);
    /// Derives the receive rules from rxmode.offloads and the MTU.
    void set_rules();
    Result<void> install_interrupts();
    void remove_interrupts();

    /// Runs on the control thread, which alone may query the device.
    [[nodiscard]] DeviceInfo info() const;

    void run() override;

    [[nodiscard]] rte_eth_link link() const;
    [[nodiscard]] uint16_t max_mtu() const { return arguments_.config.mtu; }
    /// The MTU that is offered to the guest driver, if any.
    [[nodiscard]] std::optional<uint16_t> guest_mtu() const { return arguments_.mtu; }
    /// RTE_ETH_RX_OFFLOAD_*
    [[nodiscard]] uint64_t rx_offloads() const;
    /// The application never gets chained mbufs, nor frames that do not fit into one mbuf.
    [[nodiscard]] bool linear() const { return arguments_.linear && !large_buffers; }
    [[nodiscard]] bool mergeable() const { return arguments_.config.mrg_rxbuf; }
    [[nodiscard]] uint32_t speed() const { return arguments_.config.speed; }
    [[nodiscard]] const std::string& name() const { return arguments_.config.name; }
    [[nodiscard]] const std::array<uint8_t, 6>& mac() const { return *arguments_.config.mac; }
    /// Since the last reset.
    [[nodiscard]] PortStats stats() const;
    void reset_stats();

  private:
    Port(DevArgs arguments, ControlThread control)
        : arguments_(std::move(arguments)), control_(std::move(control)) {}
    Result<void> attach();
    Result<void> own() const;
    [[nodiscard]] bool offers_large() const {
        return arguments_.config.csum && arguments_.config.tso;
    }
    void refresh_link();
    void tell_link();
    static void call_back(void* port);
    [[nodiscard]] PortStats counters() const;

    DevArgs arguments_;
    ControlThread control_;
    rte_eth_dev* dev_ = nullptr;
    bool attached_ = false;
    bool keeps_carrier_ = false;  ///< the carrier stays as it is until the first start or stop
    bool said_broken_ = false;
    mutable std::mutex stats_lock_;
    PortStats before_;  ///< the counters at the last reset
    std::atomic<bool> admin_ = true;
    std::atomic<bool> up_ = false;
};

inline Port& port_of(const rte_eth_dev* dev) {
    return *static_cast<Port*>(dev->process_private);
}

}  // namespace vduse::pmd
