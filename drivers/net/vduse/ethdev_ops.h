// SPDX-License-Identifier: BSD-3-Clause

// The operations of ethdev, as tables: for the process that owns the port, and for a secondary one.
#pragma once

#include "compat.h"

namespace vduse::pmd {

extern const eth_dev_ops kOps;
/// Statistics, link and capabilities. No operation that changes the device.
extern const eth_dev_ops kSecondaryOps;

/// Sets the functions that ethdev has outside the tables: bursts, fill levels, descriptor states.
void set_fast_path(rte_eth_dev* dev);
/// The same in a secondary process, which has no datapath.
void set_no_path(rte_eth_dev* dev);

/// Closes the port. The caller releases the ethdev.
int close(rte_eth_dev* dev);

}  // namespace vduse::pmd
