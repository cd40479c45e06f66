// SPDX-License-Identifier: BSD-3-Clause

// What the app adds to the facts of a device (vduse/describe.h): who serves it, and what found no
// room in it. And the facts of bridges, which are the app's own.
//
// Threads: the main lcore. Counters are read while workers count.
#pragma once

#include <cstdint>

#include "app/datapath/bridge.h"
#include "app/datapath/endpoint.h"
#include "vduse/describe.h"

namespace vduse::app {

/// `info`: the device's. `control_lcore`: where its control queue is served.
Facts device_facts(const Endpoint& endpoint, const DeviceInfo& info, unsigned control_lcore);

/// "from_guest" and "to_guest", summed over the pairs `first` to `last`. "not_taken" of the latter
/// are frames for which there was no room, or no driver; "merged" came to it in longer ones.
Facts traffic_facts(const Endpoint& endpoint, uint16_t first, uint16_t last);

Facts bridge_facts(const Bridge& bridge);

}  // namespace vduse::app
