// SPDX-License-Identifier: BSD-3-Clause

// The statistics block as text for people. Programs should use telemetry (telemetry.h).
//
// A block for each device, a line for each port, each bridge, and each worker that may sleep. Some
// scripts parse it nevertheless, so new fields are added only at the end of a line.
//
// Threads: the main lcore. Counters are read while the workers count.
#pragma once

#include <string>

#include "app/datapath/switch.h"

namespace vduse::app {

/// `control_lcore` serves the control queue.
std::string device_block(const Endpoint& endpoint, unsigned control_lcore);
std::string port_line(const Endpoint& endpoint);
std::string bridge_line(const Bridge& bridge);
std::string worker_line(const WorkerInfo& worker);

}  // namespace vduse::app
