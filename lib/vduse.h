// The public interface of the library: VDUSE virtio-net devices, served with DPDK mbufs.
//
//   Control  one per process: the thread that calls `run_once` in a loop is the control thread. It
//            answers the kernel, follows the IOTLB, serves control queues, starts and stops queues.
//   Device   one virtio-net device, /dev/vduse/NAME. Created and destroyed on the control thread.
//
// Data threads call `from_guest` and `to_guest`: any thread, EAL or not, as often or as rarely as
// it likes; one thread at a time for each queue and direction. They make a system call only to
// interrupt the driver and, when they find memory that control has not mapped yet, to wake control.
//
// A data thread that has nothing to do may sleep on `kick_fd`, any number of them and other things
// at once. In this order, or a frame may lie there until the next one comes (the model is
// test/model/sleep.pml):
//
//     read what made it readable  ->  arm_from_guest  ->  sleep, if that said so  ->  disarm, poll
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse {

class Control;
namespace device {
class Session;
}
namespace uapi {
class Kernel;
}

enum class Profile : uint8_t {
    migratable,  ///< Only what QEMU can shadow: one bit more and it gives up isolation and
                 ///< migration.
    full,        ///< Everything that we have.
};

enum class CtrlVq : uint8_t {
    automatic,  ///< Where the kernel accepts it; without it there is one queue pair.
    on,         ///< Creating the device fails where the kernel refuses it.
    off,
};

enum class Groups : uint8_t {
    together,  ///< All data queues are group 0, the control queue is group 1.
    per_pair,  ///< Queue pair i is group i, the control queue is the last one.
};

/// Which driver of the vDPA bus a device is meant for.
enum class Attach : uint8_t {
    none,    ///< Any: somebody else puts it there.
    virtio,  ///< virtio_vdpa: a netdev of this host.
    vhost,   ///< vhost_vdpa: a character device for QEMU.
};

struct DeviceConfig {
    std::string name;          ///< The node will be /dev/vduse/NAME.
    uint16_t queue_pairs = 1;  ///< 1 to 128
    /// Of data queues: a power of two, 2 to 32768. 0: 1024, or as many as the kernel's bounce
    /// memory has room for where `attach` says that it is used.
    uint16_t queue_size = 0;
    /// What the device is made for. To put it on the bus is the caller's (device/vdpa_bus.h).
    Attach attach = Attach::none;
    /// Bytes of the kernel's bounce memory, through which a netdev of this host sends and receives:
    /// 1 MiB to 1 GiB, divided among the address spaces. 0: what the rings need.
    uint64_t bounce = 0;
    /// None: VIRTIO_NET_F_MAC is not offered, and the driver's side brings its own: QEMU the
    /// guest's `mac=`, Linux a random one. With one, QEMU must be told the same: it shows the guest
    /// ours, but programs our receive filter with its own.
    std::optional<std::array<uint8_t, 6>> mac;
    uint16_t mtu = 1500;     ///< 68 to 9702; bounds frames in both directions
    bool offer_mtu = true;   ///< VIRTIO_NET_F_MTU: the driver is told `mtu` and keeps to it
    bool mrg_rxbuf = true;   ///< VIRTIO_NET_F_MRG_RXBUF
    bool event_idx = true;   ///< VIRTIO_F_EVENT_IDX
    uint32_t speed = 10000;  ///< Mbit/s
    bool full_duplex = true;
    Profile profile = Profile::migratable;
    CtrlVq ctrl_vq = CtrlVq::automatic;
    Groups groups = Groups::together;
    /// Address spaces that the driver may put groups into, 1 to 129. 0: one for each group, but 2
    /// at least; with Attach::virtio 1, as that uses no other and each takes its part of the bounce
    /// memory.
    uint16_t spaces = 0;
    /// The kernel's device stays when this process ends, and with it what its driver's side has
    /// set up. The next process that adds a device with the same configuration goes on with it.
    bool persist = false;
    /// The same if this process ends without `Device::destroy`, which takes the device away. Where
    /// `journal_folder` cannot be used, nothing is kept.
    bool survive_crash = false;
    /// This process gives its devices away (`Device::let_go`) when it gets SIGUSR2, and `holder_of`
    /// tells others so.
    bool hands_over = false;
    /// Where these two keep what they must know; made if need be. A tmpfs: it is to be gone after a
    /// reboot.
    std::string journal_folder = "/run/vduse-dp";
};

/// A locally administered address that follows from a device's name: the same at every start.
std::array<uint8_t, 6> mac_from_name(const std::string& name);

/// A process that serves a device which `persist` or `survive_crash` lets outlive it.
struct DeviceHolder {
    int pid = 0;
    bool hands_over = false;
};
/// Any process: who serves the device of that name now, if another process than this one does.
std::optional<DeviceHolder> holder_of(const DeviceConfig& config);
/// Any process: whether `Control::add` would go on with the device of that name as its holder has
/// written it down. Code ENOENT: it has no journal. Code EINVAL: it was made with other options.
/// Code EPROTONOSUPPORT: its journal is of another version, and the text says what can be done.
/// `kernel`: nullptr for the running one.
Result<void> can_adopt(const DeviceConfig& config, uapi::Kernel* kernel = nullptr);

struct Traffic {
    uint64_t frames = 0;
    uint64_t bytes = 0;
};

/// One direction of a queue pair. Counters never go back, not even at a reset of the device.
struct QueueStats {
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t dropped = 0;             ///< the sum of `drops`
    std::array<uint64_t, 6> drops{};  ///< by net::Drop; names: net::kDropNames
    uint64_t no_mbuf = 0;
    uint64_t no_buffer = 0;  ///< to_guest: bursts of which frames were left for want of buffers
    uint64_t interrupts = 0;
    uint64_t misses = 0;
};

struct GroupInfo {
    bool control = false;
    uint32_t asid = 0;
    uint32_t first_queue = 0;
    uint32_t last_queue = 0;
};

struct RegionInfo {
    uint64_t first = 0;
    uint64_t last = 0;
    bool readable = false;
    bool writable = false;
    /// The NUMA node of its first page. -1: nobody has touched it yet, the kernel does not tell, or
    /// the space has more regions than are asked about (64).
    int node = -1;
};

/// A snapshot for people and tests.
struct DeviceInfo {
    uint64_t api_version = 0;      ///< of VDUSE, as agreed with the kernel: 0 has no groups
    uint64_t kernel_features = 0;  ///< VDUSE_F_* that the kernel has; 0 before Linux 7.3
    bool adopted = false;          ///< it was there when this process added it
    uint8_t status = 0;
    uint64_t features = 0;  ///< negotiated
    bool link_up = false;
    uint16_t active_pairs = 0;
    uint16_t queue_pairs = 0;
    std::array<uint8_t, 6> mac{};
    bool promiscuous = true;
    bool all_multicast = false;
    size_t unicast = 0;
    size_t multicast = 0;
    size_t vlans = 0;
    uint64_t commands = 0;  ///< of the control queue
    uint64_t refused = 0;
    std::vector<GroupInfo> groups;
    std::vector<std::vector<RegionInfo>> spaces;
    /// Why it may carry no frames though its driver is ready, a line each (device/health.h).
    std::vector<std::string> problems;
};

enum class QueueUse : uint8_t { to_guest, from_guest, control };

/// A snapshot of one virtqueue.
struct QueueInfo {
    QueueUse use = QueueUse::to_guest;
    uint16_t pair = 0;  ///< of a data queue
    uint32_t group = 0;
    uint32_t asid = 0;
    bool ready = false;        ///< the driver's side said so
    bool running = false;      ///< it is being served
    bool stalled = false;      ///< it could not be started, until something changes
    bool quarantined = false;  ///< its ring cannot be trusted, until a reset
    uint32_t size = 0;         ///< entries, the addresses of its parts: when it last ran
    uint64_t desc = 0;
    uint64_t driver = 0;
    uint64_t device = 0;
    QueueStats stats;
};

/// A message of the kernel and what became of it.
struct ControlEvent {
    std::chrono::system_clock::time_point time;
    std::chrono::nanoseconds took{};  ///< until the answer was written
    std::string what;                 ///< for example "SET_VQ_READY queue 1 ready 1"
    bool ok = false;                  ///< how it was answered
};

/// Names of the bits of `DeviceInfo::features`, `status` and `kernel_features`, the lowest first:
/// "MTU", "DRIVER_OK", "QUEUE_READY"; "bit40" where we know none.
std::vector<std::string> feature_names(uint64_t features);
std::vector<std::string> status_names(uint8_t status);
std::vector<std::string> kernel_feature_names(uint64_t features);

/// What a caller of `Device::from_guest` wants to be different.
struct FromGuest {
    uint16_t port = UINT16_MAX;     ///< goes into the mbufs; the default is RTE_MBUF_PORT_INVALID
    uint32_t longest = UINT32_MAX;  ///< longer frames, in bytes, are dropped as too_long
    bool linear = false;            ///< and so are frames that do not fit into one mbuf of the pool
};

class Device {
  public:
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Data threads: up to `frames.size()` frames that the driver sent on `pair`, in mbufs of
    /// `pool`.
    uint16_t from_guest(
        uint16_t pair,
        rte_mempool* pool,
        std::span<rte_mbuf*> frames,
        const FromGuest& wishes = FromGuest()
    ) noexcept;
    /// Data threads: frames for the driver on `pair`. Takes the first of them, as many as it
    /// returns; the caller keeps the rest, for which there is no room now.
    uint16_t to_guest(uint16_t pair, std::span<rte_mbuf* const> frames) noexcept;

    /// The data thread of that direction: buffers of `pair` that the driver has published and that
    /// wait for us. 0 while the queue is not served.
    [[nodiscard]] uint32_t from_guest_waiting(uint16_t pair) noexcept;
    [[nodiscard]] uint32_t to_guest_waiting(uint16_t pair) noexcept;

    /// Any thread: an eventfd of `pair` alone, non-blocking, the same for the device's life. It
    /// becomes readable when the driver kicks an armed pair, and whenever control lets data threads
    /// at the queue (again): after a reset, a restart, a change of memory.
    [[nodiscard]] int kick_fd(uint16_t pair) const noexcept;
    /// The data thread of `from_guest`: asks the driver to kick when it sends more on `pair`. true:
    /// there is nothing now, and what comes makes `kick_fd` readable. false: something is there
    /// already, and nothing was asked.
    bool arm_from_guest(uint16_t pair) noexcept;
    /// The same thread: the driver need not kick any more. To be called before polling goes on.
    void disarm_from_guest(uint16_t pair) noexcept;

    /// Any thread: `from_guest` may find something on `pair`, at this moment. One load.
    [[nodiscard]] bool serves(uint16_t pair) const noexcept;
    /// Any thread: pairs that the driver uses now, 0 when there is no driver.
    [[nodiscard]] uint16_t active_pairs() const noexcept;
    /// Any thread: a driver is there and has finished its set-up.
    [[nodiscard]] bool driver_ok() const noexcept { return active_pairs() != 0; }
    /// Any thread: the MAC address that the driver receives under, as its filter has it. Nothing
    /// while there is no driver or it is suspended, or when the device was never told of one.
    [[nodiscard]] std::optional<std::array<uint8_t, 6>> mac() const noexcept;
    /// Any thread.
    [[nodiscard]] QueueStats from_guest_stats(uint16_t pair) const noexcept;
    [[nodiscard]] QueueStats to_guest_stats(uint16_t pair) const noexcept;
    /// Of these, what went through: two loads.
    [[nodiscard]] Traffic from_guest_traffic(uint16_t pair) const noexcept;
    [[nodiscard]] Traffic to_guest_traffic(uint16_t pair) const noexcept;
    /// Any thread: fixed for the device's life.
    [[nodiscard]] uint16_t queue_pairs() const noexcept;
    [[nodiscard]] const std::string& name() const noexcept;

    /// Control thread: what the driver sees as link; it gets a configuration interrupt.
    void set_link(bool up);
    /// Control thread: the MAC address that the configuration space shows. A driver that is there
    /// sees it after its next reset. Code EINVAL: a multicast address. Code ENOTSUP: the device was
    /// made without one.
    Result<void> set_mac(const std::array<uint8_t, 6>& mac);
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

    /// Control thread: Control::let_go of this one alone.
    Result<void> let_go();

  private:
    friend class Control;
    Device(Control& control, std::unique_ptr<device::Session> session);
    Control& control_;
    std::unique_ptr<device::Session> session_;
};

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
    Result<void> let_go(std::span<Device* const> devices);

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
