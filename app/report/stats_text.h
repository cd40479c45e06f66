// SPDX-License-Identifier: BSD-3-Clause

// The statistics block, as text that people read. Programs ask telemetry (telemetry.h).
//
// A block for each device, a line for each port, each bridge, and each worker that may sleep. Some
// script parses it all the same: lines only ever grow at the end.
//
// Threads: the main lcore. Counters are read while the workers count.
#pragma once

#include <string>

#include "app/datapath/switch.h"

namespace vduse::app {

/// `control_lcore`: where the control queue is served.
std::string device_block(const Endpoint& endpoint, unsigned control_lcore);
std::string port_line(const Endpoint& endpoint);
std::string bridge_line(const Bridge& bridge);
std::string worker_line(const WorkerInfo& worker);

}  // namespace vduse::app
