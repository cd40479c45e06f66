// SPDX-License-Identifier: BSD-3-Clause

// Carrier: the link of each side of a patch follows the other side.
//
//     device : device   the link of one is up while the other has a driver
//     device : port     device: the port's link. port: set up or down as the driver comes and goes
//     reflect, bridge   device: up. port: left alone
//     port : port       left alone: a port that we set down has no link of its own that could be
//                       followed, and each would wait for the other
//
// For the same reason a device without a driver is told that its link is up: the port's is down
// then because we set it down. Only the link of a port that is out of service is down in any case.
//
// Threads: the main lcore, which calls `poll` about every 100 ms. It asks no port itself:
// link_monitor.h.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "app/datapath/endpoint.h"

namespace vduse::app {

class LinkFollower {
  public:
    void patch(Endpoint& a, Endpoint& b);
    /// Whatever happens elsewhere, the link of this one is up, if it is a device.
    void keep_up(Endpoint& endpoint);
    void poll();
    /// At exit: no device has a link any more, but for those that stay. `poll` must not be called
    /// after it.
    void all_down(const std::function<bool(const Endpoint&)>& stays);

  private:
    struct Side {
        Endpoint* endpoint;
        std::optional<bool> requested;  ///< what was requested of it last
    };
    struct Pair {
        Side a;
        Side b;
    };
    static void request(Side& side, bool up);
    static void follow(Pair& pair);
    static void follow_port(Side& device, Side& port);

    std::vector<Pair> pairs_;
    std::vector<Side> always_up_;
};

}  // namespace vduse::app
