// SPDX-License-Identifier: BSD-3-Clause

// Human-readable descriptions of the port. Rows of the table in ethdev_ops.cc.
#pragma once

#include <cstdio>

#include "compat.h"

namespace vduse::pmd {

int fw_version_get(rte_eth_dev* dev, char* text, size_t room);
int priv_dump(rte_eth_dev* dev, FILE* file);
int rx_burst_mode(rte_eth_dev* dev, uint16_t /*queue*/, rte_eth_burst_mode* mode);
int tx_burst_mode(rte_eth_dev* dev, uint16_t /*queue*/, rte_eth_burst_mode* mode);

}  // namespace vduse::pmd
