// SPDX-License-Identifier: BSD-3-Clause

// Snapshots of a device and its queues for people, made on request.
//
// Nothing here reads guest memory. Values that the driver has set are shown as numbers.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <vector>

#include "device/parts.h"
#include "device/spaces.h"
#include "device/state.h"
#include "net/control_queue.h"
#include "vduse/info.h"

namespace vduse::device {

std::vector<GroupInfo> groups_of(const Shape& shape, const State& state);

/// The regions of each space, with the NUMA nodes of the first regions.
std::vector<std::vector<RegionInfo>> regions_of(const Spaces& spaces);

/// Adds the state and the counters of the control queue.
void add_control(const net::ControlQueue& control, DeviceInfo& info);

/// Without `stats`.
QueueInfo queue_info(const Parts& parts, const State& state, uint32_t index);

}  // namespace vduse::device
