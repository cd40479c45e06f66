// SPDX-License-Identifier: BSD-3-Clause

// The operations of ethdev, as tables: for the process that owns the port, and for a secondary one.
#pragma once

#include "compat.h"

namespace vduse::pmd {

extern const eth_dev_ops kOps;
/// Statistics, link, and what the device can do. Nothing that changes it.
extern const eth_dev_ops kSecondaryOps;

/// What ethdev keeps beside the tables: bursts, fill levels, descriptor states.
void set_fast_path(rte_eth_dev* dev);
/// In a secondary process, which has no datapath.
void set_no_path(rte_eth_dev* dev);

/// Ends the port; the ethdev itself is released by the caller.
int close(rte_eth_dev* dev);

}  // namespace vduse::pmd
