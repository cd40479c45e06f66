// SPDX-License-Identifier: BSD-3-Clause

// The DPDK ports of the command line, from their names to their numbers.
//
// To make, to start or to close a port may take the kernel's RTNL lock: net_tap does all that by
// ioctl(2). And who has that lock may wait for one of our devices: virtio_net does so for each
// command of its control queue, also while no process is behind the device. So the EAL gets no
// `--vdev`. Devices come first, and while the blocking thread makes the ports, or closes them in
// the end, the main lcore answers the kernel.
//
// Threads: any, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vduse/result.h"

namespace vduse::app {

/// Takes `--vdev ARGS` and `--vdev=ARGS` out of the words for the EAL, which knows `--vd`, too.
/// Returns the ARGS.
std::vector<std::string> withhold_vdevs(std::vector<char*>& eal);

/// Probes what was withheld, and looks for the ports `names`. Returns their DPDK numbers.
/// `pci_again`: another process may have had them when the EAL looked at the PCI bus. Code EINVAL:
/// a mistake on the command line, all said in `what`.
Result<std::vector<uint16_t>> probe_ports(
    const std::vector<std::string>& vdevs, const std::vector<std::string>& names, bool pci_again
);

/// Stops and closes all that there are.
void close_all_ports();

}  // namespace vduse::app
