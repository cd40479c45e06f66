// SPDX-License-Identifier: BSD-3-Clause

// The configuration of a device, and options of its datapath.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vduse/mac.h"
#include "vduse/result.h"

namespace vduse {

enum class Profile : uint8_t {
    migratable,  ///< Only features that QEMU can shadow. With one more it gives up isolation of the
                 ///< control queue and migration.
    full,        ///< All features that the library has.
};

enum class CtrlVq : uint8_t {
    automatic,  ///< Offered if the kernel accepts it. Otherwise there is one queue pair.
    on,         ///< Creating the device fails if the kernel refuses it.
    off,
};

enum class Groups : uint8_t {
    together,  ///< All data queues are group 0, the control queue is group 1.
    per_pair,  ///< Queue pair i is group i, the control queue is the last one.
};

/// The vDPA bus driver that a device is made for.
enum class Attach : uint8_t {
    none,    ///< Any: the device is attached by others.
    virtio,  ///< virtio_vdpa: a netdev of this host.
    vhost,   ///< vhost_vdpa: a character device for QEMU.
};

/// The configuration of a device.
struct DeviceConfig {
    std::string name;          ///< The node will be /dev/vduse/NAME.
    uint16_t queue_pairs = 1;  ///< 1 to 128
    /// Ring size of the data queues: a power of two, 2 to 32768. 0: 1024, or, with Attach::virtio,
    /// less if the kernel's bounce memory has no room for that.
    uint16_t queue_size = 0;
    /// The bus driver that the device is made for. The caller attaches it (vduse/bus.h).
    Attach attach = Attach::none;
    /// Bytes of the kernel's bounce memory, through which a netdev of this host sends and receives:
    /// 1 MiB to 1 GiB, divided among the address spaces. 0: what the rings need.
    uint64_t bounce = 0;
    /// Without an address, VIRTIO_NET_F_MAC is not offered and the driver's side chooses: QEMU
    /// takes the guest's `mac=`, Linux a random address. With an address, give QEMU the same
    /// `mac=`: it shows this address to the guest, but programs the receive filter with its own.
    std::optional<MacAddress> mac;
    uint16_t mtu = 1500;     ///< 68 to 9702; bounds frames in both directions
    bool offer_mtu = true;   ///< VIRTIO_NET_F_MTU: the guest driver learns `mtu` and keeps to it
    bool csum = true;        ///< checksum offloads (VIRTIO_NET_F_CSUM, GUEST_CSUM)
    bool tso = true;         ///< with `csum`: TCP frames of up to 64 KiB (HOST_TSO4, ...)
    bool mrg_rxbuf = true;   ///< VIRTIO_NET_F_MRG_RXBUF
    bool event_idx = true;   ///< VIRTIO_F_EVENT_IDX
    uint32_t speed = 10000;  ///< Mbit/s
    bool full_duplex = true;
    Profile profile = Profile::migratable;
    CtrlVq ctrl_vq = CtrlVq::automatic;
    Groups groups = Groups::together;
    /// Address spaces (ASIDs) that virtqueue groups can be put into, 1 to 129. 0: one for each
    /// group, at least 2; with Attach::virtio 1, because virtio_vdpa uses no other and each takes
    /// its part of the bounce memory.
    uint16_t spaces = 0;
    /// The kernel's device stays when this process exits, with everything that the driver's side
    /// has set up. The next process that adds a device with the same configuration adopts it.
    bool persist = false;
    /// The same if this process exits without `Device::destroy`, which removes the device. If
    /// `journal_folder` cannot be used, nothing is kept.
    bool survive_crash = false;
    /// The caller's promise to release its devices (`Device::release`) on SIGUSR2. `owner_of` shows
    /// it to other processes.
    bool supports_handover = false;
    /// The folder for the journals of `persist` and `survive_crash`, created if needed. It must be
    /// on a tmpfs: journals must be gone after a reboot.
    std::string journal_folder = "/run/vduse-dp";
};

/// Checks `config`. Code EINVAL: the text names the key that is wrong and its valid values.
Result<void> validate(const DeviceConfig& config);

/// A locally administered MAC address that is derived from a device's name: the same at every
/// start.
MacAddress mac_from_name(const std::string& name);

class LargeBuffers;

/// Options of `QueuePair::from_guest`.
struct RxOptions {
    uint16_t port = UINT16_MAX;  ///< `port` of the mbufs; the default is RTE_MBUF_PORT_INVALID
    /// Bytes. Longer frames are dropped as too_long. For a large frame (vduse/offload.h) this is
    /// the limit of its segments.
    uint32_t longest = UINT32_MAX;
    /// A frame that does not fit into one mbuf of the pool is dropped as too_long, unless it is
    /// large.
    bool linear = false;
    /// If set, a frame that does not fit into one mbuf of the pool gets one of these buffers, or
    /// waits for one: every frame is one mbuf. `linear` has no effect then. Not owned.
    LargeBuffers* large_buffers = nullptr;
};

}  // namespace vduse
