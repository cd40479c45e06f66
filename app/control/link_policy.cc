// SPDX-License-Identifier: BSD-3-Clause

// How it works: see link_policy.h. Each side remembers its last request, so that only changes are
// requested of devices and ports.
#include "app/control/link_policy.h"

namespace vduse::app {
namespace {

bool has_driver(const Endpoint& endpoint) {
    return endpoint.in_service.load(std::memory_order_relaxed) && endpoint.device->driver_ok();
}

}  // namespace

void LinkFollower::patch(Endpoint& a, Endpoint& b) {
    pairs_.push_back({{&a, {}}, {&b, {}}});
}

void LinkFollower::keep_up(Endpoint& endpoint) {
    if (endpoint.device != nullptr)
        always_up_.push_back({&endpoint, {}});
}

void LinkFollower::request(Side& side, bool up) {
    if (side.requested == up || !side.endpoint->in_service.load(std::memory_order_relaxed))
        return;
    side.requested = up;
    if (side.endpoint->device != nullptr)
        side.endpoint->device->set_link(up);
    else
        side.endpoint->link.requested.store(
            up ? RequestedLink::up : RequestedLink::down, std::memory_order_relaxed
        );
}

void LinkFollower::follow_port(Side& device, Side& port) {
    const bool driver = has_driver(*device.endpoint);
    request(port, driver);
    // The link of a port that failed to start is not down because of us.
    const bool served = port.endpoint->in_service.load(std::memory_order_relaxed);
    request(device, (served && !driver) || port.endpoint->link.now().value_or(true));
}

void LinkFollower::follow(Pair& pair) {
    const bool a_is_device = pair.a.endpoint->device != nullptr;
    const bool b_is_device = pair.b.endpoint->device != nullptr;
    if (a_is_device && b_is_device) {
        request(pair.a, has_driver(*pair.b.endpoint));
        request(pair.b, has_driver(*pair.a.endpoint));
    } else if (a_is_device) {
        follow_port(pair.a, pair.b);
    } else if (b_is_device) {
        follow_port(pair.b, pair.a);
    }
}

void LinkFollower::poll() {
    for (Pair& pair : pairs_)
        follow(pair);
    for (Side& side : always_up_)
        request(side, true);
}

void LinkFollower::all_down(const std::function<bool(const Endpoint&)>& stays) {
    const auto down = [&](Side& side) {
        if (side.endpoint->device != nullptr && !stays(*side.endpoint))
            request(side, false);
    };
    for (Pair& pair : pairs_) {
        down(pair.a);
        down(pair.b);
    }
    for (Side& side : always_up_)
        down(side);
}

}  // namespace vduse::app
