// SPDX-License-Identifier: BSD-3-Clause

// Probes the DPDK ports of the command line and finds their numbers.
//
// Creating, starting or closing a port may take the kernel's RTNL lock: net_tap uses ioctl(2) for
// all of these. The holder of that lock may wait for one of our devices: virtio_net does so for
// each control queue command, even while no process serves the device. So the EAL gets no `--vdev`.
// Devices come first. While the blocking thread creates the ports, or closes them at exit, the main
// lcore answers the kernel.
//
// Threads: any, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vduse/result.h"

namespace vduse::app {

/// Removes `--vdev ARGS` and `--vdev=ARGS` from the words for the EAL, which also accepts `--vd`.
/// Returns the ARGS.
std::vector<std::string> withhold_vdevs(std::vector<char*>& eal);

/// Probes `vdevs` and finds the ports `names`. Returns their DPDK numbers. `pci_again`: PCI ports
/// are probed again, because another process may have had them when the EAL scanned the bus. Code
/// EINVAL: a mistake on the command line, which `what` explains.
Result<std::vector<uint16_t>> probe_ports(
    const std::vector<std::string>& vdevs, const std::vector<std::string>& names, bool pci_again
);

/// Stops and closes all ports.
void close_all_ports();

}  // namespace vduse::app
