// SPDX-License-Identifier: BSD-3-Clause

// Reads and sets the links of DPDK ports and reads their counters, in a thread of its own.
//
// Each of these may wait for the kernel's RTNL lock: net_tap, bonding and mlx5 use ioctl(2). The
// holder of that lock may wait for one of our devices: virtio_net does so when it sets DRIVER_OK
// and for each control queue command. So the control thread, which answers, must never call a port.
// It leaves requests here and reads the last results (Endpoint::link, Endpoint::traffic).
//
// Threads: `start` on the main lcore, `stop` on the blocking thread. The thread of this object
// calls ethdev's functions for links and statistics only.
#pragma once

#include <memory>
#include <span>
#include <thread>

#include "app/datapath/endpoint.h"

namespace vduse::app {

class PortMonitor {
  public:
    /// Polls `ports` from now on, about every 100 ms. They must exist until `stop`.
    void start(std::span<const std::unique_ptr<Endpoint>> ports);
    /// Waits for the current ethdev call. Not for the main lcore while a driver may need an answer.
    void stop();

  private:
    std::jthread thread_;
};

}  // namespace vduse::app
