// SPDX-License-Identifier: BSD-3-Clause

// The vDPA bus: where a VDUSE device meets the driver that will use it.
//
// `vdpa dev add` and `vdpa dev del` are generic netlink requests (family "vdpa"), the choice of the
// bus driver is made in /sys/bus/vdpa. No tool has to be installed.
//
// Threads: never call these on the control thread. While they work, the kernel sends requests to
// the device and waits for the answers, that is for control, inside the very system call that the
// caller is in: a control thread that calls them waits for itself until the kernel, after 30 s,
// gives the device up. The exceptions are `vdpa_driver_loaded`, `vdpa_exists`, `vdpa_driver` and
// `vdpa_holder`, which only read /sys and /proc.
#pragma once

#include <cstdint>
#include <string>

#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::bus {

/// Names of bus drivers, which are also those of their kernel modules.
inline constexpr const char* kVirtioVdpa = "virtio_vdpa";
inline constexpr const char* kVhostVdpa = "vhost_vdpa";

/// The bus driver for `attach`, which is not none.
inline const char* bus_driver_of(Attach attach) {
    return attach == Attach::virtio ? kVirtioVdpa : kVhostVdpa;
}

/// The error says which module to load. To be asked before `vdpa_add`: a bus driver that is loaded
/// takes a new device at once, wanted or not.
Result<void> vdpa_driver_loaded(const std::string& driver);

/// `vdpa dev add name NAME mgmtdev vduse`. NAME is a VDUSE device whose process answers.
Result<void> vdpa_add(const std::string& name);

/// `vdpa dev del NAME`. Waits for whoever holds its character device: ask `vdpa_in_use` first.
Result<void> vdpa_del(const std::string& name);

/// Makes `driver` the bus driver of the device, whichever took it first.
Result<void> vdpa_bind(const std::string& name, const std::string& driver);

/// All three: the driver is there, the device on the bus (also when it was before), and bound.
Result<void> vdpa_attach(const std::string& name, const std::string& driver);

/// Takes a device off the bus if it is there and nobody holds it. Code EBUSY: somebody does; the
/// words say who, and what to type when he has ended.
Result<void> vdpa_detach(const std::string& name);

/// Whether a process that ends in an orderly way may leave its device on the bus, for the next one.
/// Not a netdev of this host: while nobody serves it, whoever changes it, or removes its network
/// namespace, waits for the control queue with the kernel's RTNL lock held, and with him every
/// other user of the host's network.
bool vdpa_may_stay(const std::string& name);
/// What that means for persist=1 with attach=virtio, for people.
inline constexpr const char* kPersistentNetdev =
    "persist=1 adds nothing to attach=virtio: the netdev outlives a crash in any case, and an "
    "orderly "
    "end takes it away";

/// The device is on the vDPA bus.
bool vdpa_exists(const std::string& name);

/// The bus driver that has the device, or "".
std::string vdpa_driver(const std::string& name);

/// Somebody holds the device's /dev/vhost-vdpa-N. Finds out by opening it, which resets a device
/// that nobody holds.
bool vdpa_in_use(const std::string& name);

/// Gives the netdev of a device on virtio_vdpa the name `name`, and moves it into the network
/// namespace `netns`, a name as `ip netns` lists them or a path. What is "" stays. Waits some
/// seconds for the netdev.
Result<void> place_netdev(
    const std::string& device, const std::string& name, const std::string& netns
);

/// Who holds /dev/vhost-vdpa-N, for people: "qemu-system-x86 (pid 123)", or "" when not found.
std::string vdpa_holder(const std::string& name);

}  // namespace vduse::bus
