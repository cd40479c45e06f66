// SPDX-License-Identifier: BSD-3-Clause

// The vDPA bus: attaches a VDUSE device to the bus driver that will use it.
//
// `vdpa dev add` and `vdpa dev del` are sent as generic netlink requests (family "vdpa"). The bus
// driver is chosen in /sys/bus/vdpa. No tool has to be installed.
//
// Threads: any but the control thread. The kernel sends requests to the device and waits for the
// answers inside the caller's system call. A control thread that calls these functions waits for
// its own answer, until the kernel gives the device up after 30 s. The exceptions are
// `vdpa_driver_loaded`, `vdpa_exists`, `vdpa_driver`, `vdpa_may_stay` and `vdpa_holder`, which only
// read /sys and /proc.
#pragma once

#include <cstdint>
#include <string>

#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::bus {

/// Names of the bus drivers and of their kernel modules.
inline constexpr const char* kVirtioVdpa = "virtio_vdpa";
inline constexpr const char* kVhostVdpa = "vhost_vdpa";

/// The name of the bus driver for `attach`, which must not be Attach::none.
inline const char* bus_driver_of(Attach attach) {
    return attach == Attach::virtio ? kVirtioVdpa : kVhostVdpa;
}

/// Checks that bus driver `driver` is loaded. Code ENODEV: it is not, and the text names the module
/// to load. Call this before `vdpa_add`: any bus driver that is loaded takes a new device at once,
/// wanted or not.
Result<void> vdpa_driver_loaded(const std::string& driver);

/// `vdpa dev add name NAME mgmtdev vduse`. NAME is a VDUSE device whose process answers requests.
Result<void> vdpa_add(const std::string& name);

/// `vdpa dev del NAME`. Waits until no process has the device's character device open: check
/// `vdpa_in_use` first.
Result<void> vdpa_del(const std::string& name);

/// Binds the device to bus driver `driver`, even if another bus driver has it. Code ENODEV: the
/// device is not on the bus, or the bus driver is not loaded.
Result<void> vdpa_bind(const std::string& name, const std::string& driver);

/// Checks that the bus driver is loaded, adds the device to the bus unless it is there already, and
/// binds it.
Result<void> vdpa_attach(const std::string& name, const std::string& driver);

/// Takes a device off the bus, unless it is not there. Code EBUSY: a process has it open; the text
/// names the process, and the command to type when it has exited.
Result<void> vdpa_detach(const std::string& name);

/// Whether a process that exits in an orderly way may leave its device on the bus, for the next
/// process. Not a netdev of this host: while no process serves it, a task that changes it or
/// removes its network namespace waits for the control queue and holds the kernel's RTNL lock
/// meanwhile, which blocks every other user of the host's network.
bool vdpa_may_stay(const std::string& name);
/// The consequence for persist=1 with attach=virtio, as a text for people.
inline constexpr const char* kPersistentNetdev =
    "persist=1 has no effect with attach=virtio: the netdev survives a crash anyway, and an "
    "orderly "
    "exit removes it";

/// Whether the device is on the vDPA bus.
bool vdpa_exists(const std::string& name);

/// The bus driver that the device is bound to, or "".
std::string vdpa_driver(const std::string& name);

/// The device's character device, "/dev/vhost-vdpa-N", or "" if vhost_vdpa does not have it.
std::string vdpa_node(const std::string& name);

/// Whether a process has the device's /dev/vhost-vdpa-N open. This opens it, which resets a device
/// that no process has open.
bool vdpa_in_use(const std::string& name);

/// Renames the netdev of device `device`, which is on virtio_vdpa, to `name`, and moves it into
/// network namespace `netns`: a name as `ip netns` lists them, or a path. If either is "", that
/// property stays as it is. Waits up to 5 s for the netdev. Code ETIMEDOUT: there is none.
Result<void> place_netdev(
    const std::string& device, const std::string& name, const std::string& netns
);

/// The process that has /dev/vhost-vdpa-N open, for people: "qemu-system-x86 (pid 123)", or "" when
/// none is found.
std::string vdpa_holder(const std::string& name);

}  // namespace vduse::bus
