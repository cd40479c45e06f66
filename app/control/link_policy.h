// SPDX-License-Identifier: BSD-3-Clause

// Carrier: the link of each side of a patch follows the other side.
//
//     device : device   the link of one is up while the other has a driver
//     device : port     device: the port's link. port: up while the device has a driver, else down
//     reflect, bridge   device: up. port: left alone
//     port : port       left alone: a port that was set down shows no link that the other could
//                       follow, so each would wait for the other
//
// For the same reason the link of a device without a driver is set up: the port's link is down then
// only because it was set down. If the port is out of service, the device's link is always down.
//
// Threads: the main lcore, which calls `poll` about every 100 ms. It never calls a port itself:
// see port_monitor.h.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "app/datapath/endpoint.h"

namespace vduse::app {

class LinkFollower {
  public:
    void patch(Endpoint& a, Endpoint& b);
    /// If the endpoint is a device, its link is always up.
    void keep_up(Endpoint& endpoint);
    void poll();
    /// At exit: sets the links of all devices down, except those that stay. Do not call `poll`
    /// afterwards.
    void all_down(const std::function<bool(const Endpoint&)>& stays);

  private:
    struct Side {
        Endpoint* endpoint;
        std::optional<bool> requested;  ///< the last request
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
