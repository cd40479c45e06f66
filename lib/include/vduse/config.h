// SPDX-License-Identifier: BSD-3-Clause

// What a device is to be, and what a caller of its datapath may ask for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vduse/mac.h"
#include "vduse/result.h"

namespace vduse {

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

/// What a device is to be.
struct DeviceConfig {
    std::string name;          ///< The node will be /dev/vduse/NAME.
    uint16_t queue_pairs = 1;  ///< 1 to 128
    /// Of data queues: a power of two, 2 to 32768. 0: 1024, or as many as the kernel's bounce
    /// memory has room for where `attach` says that it is used.
    uint16_t queue_size = 0;
    /// What the device is made for. To put it on the bus is the caller's (vduse/bus.h).
    Attach attach = Attach::none;
    /// Bytes of the kernel's bounce memory, through which a netdev of this host sends and receives:
    /// 1 MiB to 1 GiB, divided among the address spaces. 0: what the rings need.
    uint64_t bounce = 0;
    /// None: VIRTIO_NET_F_MAC is not offered, and the driver's side brings its own: QEMU the
    /// guest's `mac=`, Linux a random one. With one, QEMU must be told the same: it shows the guest
    /// ours, but programs our receive filter with its own.
    std::optional<MacAddress> mac;
    uint16_t mtu = 1500;     ///< 68 to 9702; bounds frames in both directions
    bool offer_mtu = true;   ///< VIRTIO_NET_F_MTU: the driver is told `mtu` and keeps to it
    bool csum = true;        ///< checksums left to the other side (VIRTIO_NET_F_CSUM, GUEST_CSUM)
    bool tso = true;         ///< and, with `csum`, TCP frames of up to 64 KiB (HOST_TSO4, ...)
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
    /// This process gives its devices away (`Device::release`) when it gets SIGUSR2, and
    /// `owner_of` tells others so.
    bool supports_handover = false;
    /// Where these two keep what they must know; made if need be. A tmpfs: it is to be gone after a
    /// reboot.
    std::string journal_folder = "/run/vduse-dp";
};

/// Code EINVAL and the key that is wrong, with the values that are right.
Result<void> validate(const DeviceConfig& config);

/// A locally administered address that follows from a device's name: the same at every start.
MacAddress mac_from_name(const std::string& name);

class LargeBuffers;

/// Options of `QueuePair::from_guest`.
struct RxOptions {
    uint16_t port = UINT16_MAX;     ///< goes into the mbufs; the default is RTE_MBUF_PORT_INVALID
    uint32_t longest = UINT32_MAX;  ///< longer frames, in bytes, are dropped as too_long
    bool linear = false;            ///< and so are frames that do not fit into one mbuf of the pool
    /// But where these are, such a frame gets one, or waits for one. It comes in one mbuf.
    LargeBuffers* large_buffers = nullptr;
};

}  // namespace vduse
