// SPDX-License-Identifier: BSD-3-Clause

// What an MTU requires of a port: mbufs that its longest frame fits into, or an application that
// accepts chained mbufs. An MTU that would silently lose frames is refused, as in PMDs of network
// cards.
#pragma once

#include <cstdint>

#include "compat.h"
#include "vduse/result.h"

namespace vduse::pmd {

/// Checks whether the rx queues, which are set up, can receive all frames of `mtu`. Code EINVAL:
/// they cannot, and the text tells what would help. If a setting of the user makes the port drop
/// frames, that is only logged.
Result<void> check_mtu(const rte_eth_dev* dev, uint16_t mtu);

}  // namespace vduse::pmd
