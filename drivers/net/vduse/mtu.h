// SPDX-License-Identifier: BSD-3-Clause

// What an MTU asks of a port: mbufs that its longest frame fits into, or an application that takes
// chains of them. An MTU that would lose frames in silence is refused, as the drivers of network
// cards do.
#pragma once

#include <cstdint>

#include "compat.h"
#include "vduse/result.h"

namespace vduse::pmd {

/// Whether all frames of `mtu` can be received by the rx queues, which are set up. Code EINVAL:
/// they cannot, and the text says what would help. What loses frames because it was asked for, is a
/// line in the log.
Result<void> check_mtu(const rte_eth_dev* dev, uint16_t mtu);

}  // namespace vduse::pmd
