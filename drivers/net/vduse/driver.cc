// SPDX-License-Identifier: BSD-3-Clause

// The driver "net_vduse" of the vdev bus: from a name and devargs to an ethdev, and back.
//
// Probing creates the kernel's device. If that fails (no VDUSE, no permission, a name in use),
// probe returns a negative errno and logs a line to pmd.net.vduse.init. A secondary process
// attaches to the primary's port, for statistics.
#include <rte_kvargs.h>

#include <cerrno>
#include <memory>
#include <new>

#include "compat.h"
#include "devargs.h"
#include "ethdev_ops.h"
#include "log.h"
#include "port.h"
#include "vduse/bus.h"

namespace vduse::pmd {
namespace {

int refuse(const char* name, const Error& error) {
    log(Topic::init, Severity::error, "%s: %s", name, error.text().c_str());
    // EAL treats EEXIST as a device that was probed before, which is a success.
    return error.code == EEXIST ? -EBUSY : -error.code;
}

void fill_data(rte_eth_dev_data& data, const Port& port, rte_ether_addr* macs) {
    std::copy(port.mac().begin(), port.mac().end(), macs[0].addr_bytes);
    data.mac_addrs = macs;
    data.mtu = std::min<uint16_t>(RTE_ETHER_MTU, port.max_mtu());
    data.promiscuous = 1;
    data.all_multicast = 1;
    data.dev_flags = RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
    data.dev_link = port.link();
}

/// Returns the ethdev of a port that is ready, or nullptr: no memory, or too many ports.
rte_eth_dev* make_ethdev(rte_vdev_device* vdev, const Port& port) {
    rte_eth_dev* dev = rte_eth_vdev_allocate(vdev, sizeof(SecondaryStats));
    if (dev == nullptr)
        return nullptr;
    new (dev->data->dev_private) SecondaryStats;
    auto* macs =
        static_cast<rte_ether_addr*>(rte_zmalloc("vduse_macs", kMaxMacs * sizeof(rte_ether_addr), 0)
        );
    dev->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_SHARED);
    if (macs == nullptr || dev->intr_handle == nullptr) {
        rte_free(macs);
        rte_intr_instance_free(dev->intr_handle);
        rte_eth_dev_release_port(dev);
        return nullptr;
    }
    fill_data(*dev->data, port, macs);
    return dev;
}

int probe_secondary(rte_vdev_device* vdev, const char* name) {
    rte_eth_dev* dev = rte_eth_dev_attach_secondary(name);
    if (dev == nullptr)
        return refuse(name, Error{ENODEV, "the primary process has no such port"});
    dev->device = &vdev->device;
    dev->dev_ops = &kSecondaryOps;
    set_no_path(dev);
    rte_eth_dev_probing_finish(dev);
    return 0;
}

int probe(rte_vdev_device* vdev) {
    const char* name = rte_vdev_device_name(vdev);
    if (rte_eal_process_type() == RTE_PROC_SECONDARY)
        return probe_secondary(vdev, name);
    auto arguments = parse_devargs(name, rte_vdev_device_args(vdev));
    if (!arguments)
        return refuse(name, arguments.error());
    for (const std::string& key : arguments->ignored)
        log(Topic::init, Severity::info, "%s: %s has no meaning here", name, key.c_str());
    if (arguments->config.persist && arguments->config.attach == Attach::virtio)
        log(Topic::init, Severity::notice, "%s: %s", name, bus::kPersistentNetdev);
    auto control = ControlThread::share();
    if (!control)
        return refuse(name, control.error());
    auto port = Port::create(std::move(*arguments), std::move(*control));
    if (!port)
        return refuse(name, port.error());
    rte_eth_dev* dev = make_ethdev(vdev, **port);
    if (dev == nullptr)
        return refuse(name, Error{ENOMEM, "an ethdev"});
    dev->process_private = port->get();
    dev->dev_ops = &kOps;
    set_fast_path(dev);
    (*port).release()->serve(dev);
    rte_eth_dev_probing_finish(dev);
    return 0;
}

/// May be called after the application has closed the port.
int remove(rte_vdev_device* vdev) {
    rte_eth_dev* dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    if (dev == nullptr)
        return 0;
    if (rte_eal_process_type() == RTE_PROC_PRIMARY)
        close(dev);
    return rte_eth_dev_release_port(dev);
}

// RTE_PMD_REGISTER_VDEV does not work in C++: tools would not find the names of its symbols.
rte_vdev_driver driver = [] {
    rte_vdev_driver made{};
    made.driver.name = "net_vduse";
    made.driver.alias = "eth_vduse";
    made.probe = probe;
    made.remove = remove;
    return made;
}();

/// dpdk-pmdinfo.py looks for this at the start of a string. The leading NUL ends a string before it
/// that the compiler may have left unterminated.
[[gnu::used]] const char pmd_info[] =
    "\0PMD_INFO_STRING= {\"name\" : \"net_vduse\", \"params\" : \"" VDUSE_PMD_PARAMS
    "\", \"pci_ids\" : []}";

struct Registered {
    Registered() { rte_vdev_register(&driver); }
};
const Registered registered;

}  // namespace
}  // namespace vduse::pmd
