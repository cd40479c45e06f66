// SPDX-License-Identifier: BSD-3-Clause

// The public interface of the library: VDUSE virtio-net devices, served with DPDK mbufs.
//
//   Control    One per process. The thread that calls `run_once` in a loop is the control thread.
//              It answers the kernel, follows the IOTLB, serves control queues, and starts and
//              stops queues.
//   Device     One virtio-net device, /dev/vduse/NAME. Created and destroyed on the control thread.
//   QueuePair  One pair of data queues of a device.
//
// Data threads call `from_guest` and `to_guest` of a pair. Any thread may do that, EAL or not, as
// often or as rarely as it likes, but only one thread at a time for each pair and direction. The
// calls make a system call only to interrupt the guest driver and, when they find memory that
// control has not mapped yet or a ring that is broken, to wake control.
//
// An idle data thread may sleep on `kick_fd`, on any number of them and on other files at once. It
// must keep this order, or a frame may wait in the ring until the next one comes (the model is
// test/model/sleep.pml):
//
//     read the kick_fd that woke it  ->  arm_from_guest  ->  sleep, if true  ->  disarm, poll
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vduse/config.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/mac.h"
#include "vduse/offload.h"
#include "vduse/result.h"
#include "vduse/steering.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse {

class Control;
namespace device {
struct Queue;
class Session;
}  // namespace device
namespace uapi {
class Kernel;
}

/// Any process: the process that serves the device `config.name` now. Nothing if there is none, or
/// if it is the calling process.
std::optional<DeviceOwner> owner_of(const DeviceConfig& config);
/// Any process: whether `Control::add` would adopt the device `config.name` from its owner's
/// journal. Code ENOENT: it has no journal. Code EINVAL: it was made with other options. Code
/// EPROTONOSUPPORT: its journal is of another version, and the text says what can be done.
/// `kernel`: nullptr for the running kernel.
Result<void> can_adopt(const DeviceConfig& config, uapi::Kernel* kernel = nullptr);

/// One pair of data queues, on which bursts are called. A handle that may be copied; it is valid as
/// long as its Device.
class QueuePair {
  public:
    /// Data threads: receives frames that the guest driver sent. Stores up to `frames.size()` of
    /// them, at most kMaxBurst, as mbufs of `pool`, which the caller then owns. Returns their
    /// number; 0 while the queue is not served.
    [[nodiscard]] uint16_t from_guest(
        rte_mempool* pool, std::span<rte_mbuf*> frames, const RxOptions& options = RxOptions()
    ) const noexcept;
    /// Data threads: sends frames to the guest driver. Delivers or drops frames from the front of
    /// `frames`, at most kMaxBurst, and frees them. Returns their number; 0 while the queue is not
    /// served. The caller keeps the rest, for which there are no buffers now.
    [[nodiscard]] uint16_t to_guest(std::span<rte_mbuf* const> frames) const noexcept;

    /// The data thread of that direction: descriptor chains that the driver has made available and
    /// that are not used yet. 0 while the queue is not served.
    [[nodiscard]] uint32_t from_guest_waiting() const noexcept;
    [[nodiscard]] uint32_t to_guest_waiting() const noexcept;
    /// The data thread of that direction: the offloads that the driver accepts now. None while the
    /// queue is not served. `to_guest` does the rest in software, so this is only for callers that
    /// can choose.
    [[nodiscard]] Offloads to_guest_offloads() const noexcept;

    /// Any thread: a non-blocking eventfd of this pair alone, the same for the device's life. The
    /// device owns it. It becomes readable when the driver kicks an armed pair, and whenever
    /// control lets data threads into the queue (again): after a reset, a restart, a change of
    /// memory.
    [[nodiscard]] int kick_fd() const noexcept;
    /// The data thread of `from_guest`: asks the driver to kick when it sends more. true: nothing
    /// is there now, and the next frame makes `kick_fd` readable. false: something is there
    /// already, and the pair is not armed.
    [[nodiscard]] bool arm_from_guest() const noexcept;
    /// The same thread: tells the driver that it need not kick any more. Call this before polling
    /// again.
    void disarm_from_guest() const noexcept;

    /// Any thread: whether `from_guest` is served now, so that it may find frames. One load.
    [[nodiscard]] bool serves() const noexcept;
    /// Any thread.
    [[nodiscard]] QueueStats from_guest_stats() const noexcept;
    [[nodiscard]] QueueStats to_guest_stats() const noexcept;
    /// Any thread: only `frames` and `bytes` of these. Two loads.
    [[nodiscard]] Traffic from_guest_traffic() const noexcept;
    [[nodiscard]] Traffic to_guest_traffic() const noexcept;

  private:
    friend class Device;
    QueuePair(device::Queue& to_guest, device::Queue& from_guest)
        : to_guest_(&to_guest), from_guest_(&from_guest) {}
    device::Queue* to_guest_;
    device::Queue* from_guest_;
};

/// One virtio-net device, /dev/vduse/NAME. `Control::add` makes it. A Device that is destructed
/// without `destroy`, `remove` or `release` leaves the kernel's device behind, as a crash does.
class Device {
  public:
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Any thread: pair `number`, which must be less than `queue_pairs()`.
    [[nodiscard]] QueuePair queue_pair(uint16_t number) const noexcept;

    /// Any thread: the number of pairs that the driver uses now; 0 without a driver.
    [[nodiscard]] uint16_t active_pairs() const noexcept { return steering().queues(); }
    /// Any thread: distributes the caller's queues or threads, by number, over the active pairs.
    [[nodiscard]] Steering steering() const noexcept;
    /// Any thread: whether a driver has finished its set-up (DRIVER_OK).
    [[nodiscard]] bool driver_ok() const noexcept { return active_pairs() != 0; }
    /// Any thread: the MAC address in the driver's receive filter. Nothing while there is no driver
    /// or it is suspended, or if the device never got an address.
    [[nodiscard]] std::optional<MacAddress> mac() const noexcept;
    /// Any thread: the pairs that the device has. Fixed for its life, as is the name.
    [[nodiscard]] uint16_t queue_pairs() const noexcept;
    /// Any thread.
    [[nodiscard]] const std::string& name() const noexcept;

    /// Control thread: sets the link state, which is down in a new device. The driver gets a
    /// configuration interrupt.
    void set_link(bool up);
    /// Control thread: sets the MAC address in the configuration space. A driver that is there sees
    /// it after its next reset. Code EINVAL: a multicast address. Code ENOTSUP: the device was made
    /// without an address.
    Result<void> set_mac(const MacAddress& mac);
    /// Control thread: the lcore that will serve `pair`, or the NUMA node of the thread that will.
    /// Lookup tables are placed on that node, also those that exist already.
    void set_lcore(uint16_t pair, unsigned lcore);
    void set_node(uint16_t pair, int numa_node);
    /// Control thread.
    [[nodiscard]] DeviceInfo info() const;
    /// Control thread: virtqueue `index` in virtio's numbering. Nothing if there is none.
    [[nodiscard]] std::optional<QueueInfo> queue_info(uint32_t index) const;
    /// Control thread: the last 64 messages of the kernel, the oldest first.
    [[nodiscard]] std::vector<ControlEvent> events() const;
    /// Any thread: whether the device is out of service, usually because the kernel gave it up (an
    /// answer came too late). Destroy it then.
    [[nodiscard]] bool broken() const noexcept;

    /// Control thread: closes the node and destroys the kernel's device. With `persist`, the
    /// kernel's device stays unless it is broken. Code EBUSY: it is still on the vDPA bus, where it
    /// stays without a process that serves it. Code ETIMEDOUT: a data thread does not leave a
    /// queue. The device stays in service then.
    Result<void> destroy();

    /// Control thread: the same, but `persist` does not keep the device.
    Result<void> remove();

    /// Control thread: Control::release of this device alone.
    Result<void> release();

  private:
    friend class Control;
    Device(Control& control, std::unique_ptr<device::Session> session);
    Result<void> end(bool keep);
    Control& control_;
    std::unique_ptr<device::Session> session_;
};

/// The control loop of a process, for all its devices. One for each process.
class Control {
  public:
    /// `kernel`: nullptr for the running kernel; it must outlive this object. Installs a handler
    /// for SIGBUS, because a guest that truncates its memory would kill the process otherwise. Any
    /// other SIGBUS goes to the handler that was there before.
    static Result<std::unique_ptr<Control>> create(uapi::Kernel* kernel = nullptr);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// Control thread: makes a device, or adopts the one that an earlier process left (`persist`,
    /// `survive_crash`). The text of an error says what is wrong with `config` or the kernel. The
    /// Device must be destructed before this object.
    Result<std::unique_ptr<Device>> add(const DeviceConfig& config);

    /// Control thread: closes the nodes and leaves the kernel's devices, on the vDPA bus or not, to
    /// a process that adds devices with the same configurations. Their drivers notice a pause.
    /// Afterwards nothing else may be called for these Devices. All or none: on an error all of
    /// them stay in service, and the text names the device that cannot be released. Code ENOTSUP:
    /// no other process could adopt it (neither `persist` nor `survive_crash`, or the journal
    /// cannot be written). Code ETIMEDOUT: a data thread did not leave a queue in time.
    Result<void> release(std::span<Device* const> devices);

    /// Control thread: one turn of the control loop. Does pending work and waits up to `timeout_ms`
    /// for more; -1 waits without limit. Without VDUSE_F_QUEUE_READY, a queue that becomes ready
    /// after DRIVER_OK and is not kicked is seen in the next turn: some 100 ms are a good timeout
    /// then.
    void run_once(int timeout_ms);

    /// Any thread, also a signal handler: makes a waiting `run_once` return.
    void wake() noexcept;

  private:
    friend class Device;
    struct Loop;
    explicit Control(std::unique_ptr<Loop> loop);
    std::unique_ptr<Loop> loop_;
};

}  // namespace vduse
