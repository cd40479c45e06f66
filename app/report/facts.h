// SPDX-License-Identifier: BSD-3-Clause

// What the application adds to the facts of a device (vduse/describe.h): its lcores, and the frames
// dropped on the way to it. Also the facts of bridges, which exist in the application only.
//
// Threads: the main lcore. Counters are read while workers count.
#pragma once

#include <cstdint>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "vduse/describe.h"

namespace vduse::app {

/// `info` is the device's. `control_lcore` serves its control queue.
Facts device_facts(const Endpoint& endpoint, const DeviceInfo& info, unsigned control_lcore);

/// "from_guest" and "to_guest", summed over the pairs `first` to `last`. "to_guest.not_taken" are
/// frames for which there was no room or no driver; "to_guest.merged" were merged into others.
Facts traffic_facts(const Endpoint& endpoint, uint16_t first, uint16_t last);

Facts bridge_facts(const Bridge& bridge);

}  // namespace vduse::app
