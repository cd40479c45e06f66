// SPDX-License-Identifier: BSD-3-Clause

// The public interface of the library: VDUSE virtio-net devices, served with DPDK mbufs.
//
//   Control  one per process: the thread that calls `run_once` in a loop is the control thread. It
//            answers the kernel, follows the IOTLB, serves control queues, starts and stops queues.
//   Device   one virtio-net device, /dev/vduse/NAME. Created and destroyed on the control thread.
//
//   QueuePair  one pair of its data queues
//
// Data threads call `from_guest` and `to_guest` of a pair: any thread, EAL or not, as often or as
// rarely as it likes; one thread at a time for each queue and direction. They make a system call
// only to interrupt the driver and, when they find memory that control has not mapped yet, to wake
// control.
//
// A data thread that has nothing to do may sleep on `kick_fd`, any number of them and other things
// at once. In this order, or a frame may lie there until the next one comes (the model is
// test/model/sleep.pml):
//
//     read what made it readable  ->  arm_from_guest  ->  sleep, if that said so  ->  disarm, poll
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

/// Any process: who serves the device of that name now, if another process than this one does.
std::optional<DeviceOwner> owner_of(const DeviceConfig& config);
/// Any process: whether `Control::add` would go on with the device of that name as its owner has
/// written it down. Code ENOENT: it has no journal. Code EINVAL: it was made with other options.
/// Code EPROTONOSUPPORT: its journal is of another version, and the text says what can be done.
/// `kernel`: nullptr for the running one.
Result<void> can_adopt(const DeviceConfig& config, uapi::Kernel* kernel = nullptr);

/// One pair of data queues: what bursts are called on. A handle: copy it as you like; it is good as
/// long as its device.
class QueuePair {
  public:
    /// Data threads: up to `frames.size()` frames that the driver sent, in mbufs of `pool`.
    [[nodiscard]] uint16_t from_guest(
        rte_mempool* pool, std::span<rte_mbuf*> frames, const RxOptions& options = RxOptions()
    ) const noexcept;
    /// Data threads: frames for the driver. Takes the first of them, as many as it returns; the
    /// caller keeps the rest, for which there is no room now.
    [[nodiscard]] uint16_t to_guest(std::span<rte_mbuf* const> frames) const noexcept;

    /// The data thread of that direction: buffers that the driver has published and that wait for
    /// us. 0 while the queue is not served.
    [[nodiscard]] uint32_t from_guest_waiting() const noexcept;
    [[nodiscard]] uint32_t to_guest_waiting() const noexcept;
    /// The data thread of that direction: what the driver takes unfinished, now. Nothing while the
    /// queue is not served. `to_guest` does the rest itself, so this is for those who can choose.
    [[nodiscard]] Offloads to_guest_offloads() const noexcept;

    /// Any thread: an eventfd of this pair alone, non-blocking, the same for the device's life. It
    /// becomes readable when the driver kicks an armed pair, and whenever control lets data threads
    /// at the queue (again): after a reset, a restart, a change of memory.
    [[nodiscard]] int kick_fd() const noexcept;
    /// The data thread of `from_guest`: asks the driver to kick when it sends more. true: there is
    /// nothing now, and what comes makes `kick_fd` readable. false: something is there already, and
    /// nothing was asked.
    [[nodiscard]] bool arm_from_guest() const noexcept;
    /// The same thread: the driver need not kick any more. To be called before polling goes on.
    void disarm_from_guest() const noexcept;

    /// Any thread: `from_guest` may find something, at this moment. One load.
    [[nodiscard]] bool serves() const noexcept;
    /// Any thread.
    [[nodiscard]] QueueStats from_guest_stats() const noexcept;
    [[nodiscard]] QueueStats to_guest_stats() const noexcept;
    /// Of these, what went through: two loads.
    [[nodiscard]] Traffic from_guest_traffic() const noexcept;
    [[nodiscard]] Traffic to_guest_traffic() const noexcept;

  private:
    friend class Device;
    QueuePair(device::Queue& to_guest, device::Queue& from_guest)
        : to_guest_(&to_guest), from_guest_(&from_guest) {}
    device::Queue* to_guest_;
    device::Queue* from_guest_;
};

/// One virtio-net device, /dev/vduse/NAME. `Control::add` makes it.
class Device {
  public:
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Any thread: pair `number`, which is less than `queue_pairs()`.
    [[nodiscard]] QueuePair queue_pair(uint16_t number) const noexcept;

    /// Any thread: pairs that the driver uses now, 0 when there is no driver.
    [[nodiscard]] uint16_t active_pairs() const noexcept { return steering().queues(); }
    /// Any thread: which of them takes what the caller's queue or thread of some number sends.
    [[nodiscard]] Steering steering() const noexcept;
    /// Any thread: a driver is there and has finished its set-up.
    [[nodiscard]] bool driver_ok() const noexcept { return active_pairs() != 0; }
    /// Any thread: the MAC address that the driver receives under, as its filter has it. Nothing
    /// while there is no driver or it is suspended, or when the device was never told of one.
    [[nodiscard]] std::optional<MacAddress> mac() const noexcept;
    /// Any thread: fixed for the device's life.
    [[nodiscard]] uint16_t queue_pairs() const noexcept;
    [[nodiscard]] const std::string& name() const noexcept;

    /// Control thread: what the driver sees as link; it gets a configuration interrupt.
    void set_link(bool up);
    /// Control thread: the MAC address that the configuration space shows. A driver that is there
    /// sees it after its next reset. Code EINVAL: a multicast address. Code ENOTSUP: the device was
    /// made without one.
    Result<void> set_mac(const MacAddress& mac);
    /// Control thread: the lcore that will serve `pair`, or the NUMA node of the thread that will.
    /// Lookup tables are put near it, those that are there as well.
    void set_lcore(uint16_t pair, unsigned lcore);
    void set_node(uint16_t pair, int numa_node);
    [[nodiscard]] DeviceInfo info() const;
    /// Control thread: virtqueue `index` in virtio's numbering; nothing when there is none.
    [[nodiscard]] std::optional<QueueInfo> queue_info(uint32_t index) const;
    /// Control thread: the last 64 messages of the kernel, the oldest first.
    [[nodiscard]] std::vector<ControlEvent> events() const;
    /// The kernel gave the device up (an answer came too late): destroy it.
    [[nodiscard]] bool broken() const noexcept;

    /// Control thread: closes the node and destroys the kernel's device, unless `persist` says that
    /// it is to stay. Code EBUSY: it is still on the vDPA bus; it stays, without a process behind
    /// it.
    Result<void> destroy();

    /// Control thread: the same for good, with `persist`, too.
    Result<void> remove();

    /// Control thread: Control::release of this one alone.
    Result<void> release();

  private:
    friend class Control;
    Device(Control& control, std::unique_ptr<device::Session> session);
    Control& control_;
    std::unique_ptr<device::Session> session_;
};

/// The devices of a process, and what answers the kernel for them. One for each process.
class Control {
  public:
    /// `kernel`: nullptr for the running one. Installs a handler for SIGBUS, which a guest that
    /// cuts its memory off would kill us by; other SIGBUS go to the handler that was there before.
    static Result<std::unique_ptr<Control>> create(uapi::Kernel* kernel = nullptr);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// Control thread: a new device. Errors say in words what is wrong with `config` or the kernel.
    /// The device must be gone before this object.
    Result<std::unique_ptr<Device>> add(const DeviceConfig& config);

    /// Control thread: closes the nodes and leaves the kernel's devices, on the vDPA bus or not, to
    /// a process that adds some with the same configurations; their drivers notice a pause. All or
    /// none: an error names the device that cannot be left, and all of them are served on. Nothing
    /// else may be called for them afterwards. Code ENOTSUP: nothing was written down for such a
    /// process (neither `persist` nor `survive_crash`, or the journal cannot be written). Code
    /// ETIMEDOUT: a data thread does not leave a queue.
    Result<void> release(std::span<Device* const> devices);

    /// Control thread: one turn, to be called in a loop. Does what is to be done, and waits up to
    /// `timeout_ms` for more. Without VDUSE_F_QUEUE_READY, a queue that becomes ready after
    /// DRIVER_OK, and is not kicked, is seen in the next turn: some 100 ms are a good timeout then.
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
