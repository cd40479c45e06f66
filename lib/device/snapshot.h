// SPDX-License-Identifier: BSD-3-Clause

// What people see of a device and its queues, made when somebody asks.
//
// Nothing here reads guest memory. What the driver said comes out as numbers.
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

/// Of each space, with the nodes that the first regions are on.
std::vector<std::vector<RegionInfo>> regions_of(const Spaces& spaces);

/// What the control queue says and has done.
void add_control(const net::ControlQueue& control, DeviceInfo& info);

/// Without `stats`.
QueueInfo queue_info(const Parts& parts, const State& state, uint32_t index);

}  // namespace vduse::device
