// SPDX-License-Identifier: BSD-3-Clause

// The links of DPDK ports, looked at and set by a thread of their own.
//
// Both may wait for the kernel's RTNL lock: net_tap, bonding and mlx5 do them by ioctl(2). And who
// has that lock may wait for one of our devices: virtio_net does so when it says DRIVER_OK and for
// each command of its control queue. So control, which answers, must never ask a port. It leaves
// requests here, and reads what was found last (Endpoint::link).
//
// Threads: the main lcore, and the blocking thread for `stop`. The thread of this object calls
// ethdev's functions of links, and no other of the ports.
#pragma once

#include <memory>
#include <span>
#include <thread>

#include "app/datapath/endpoint.h"

namespace vduse::app {

class LinkMonitor {
  public:
    /// Polls these from now on, about every 100 ms. They stay until `stop`.
    void start(std::span<const std::unique_ptr<Endpoint>> ports);
    /// Waits for the call that it is in: not for the main lcore, while a driver may need an answer.
    void stop();

  private:
    std::jthread thread_;
};

}  // namespace vduse::app
