// SPDX-License-Identifier: BSD-3-Clause

#include "device/commands.h"

#include "ring/split.h"

namespace vduse::device {

void Commands::reset(uint64_t features) {
    control_.reset(features, mac_);
    publish(control_.state());
}

void Commands::restore(uint64_t features, const net::ControlState& state) {
    control_.restore(features, state);
    publish(control_.state());
}

void Commands::serve_if_started() {
    if (queues_.control_started())
        serve();
}

bool Commands::publish(const net::ControlState& state) {
    if (!queues_.publish(state))
        return false;
    config_space_.set_mac(state.filter.mac);
    return true;
}

void Commands::serve() {
    Queue* const queue = queues_.control();
    if (queue == nullptr)
        return;
    net::ControlBurst burst(control_, queue->ring);
    while (const net::ControlState* proposed = burst.next()) {
        const bool published = publish(*proposed);
        if (published)
            memo_.save(*proposed);
        burst.finish(published);
    }
    queue->finish_burst();
    if (queue->ring.needs_control())
        return;
    // More commands: serve them in another turn of the loop, so that messages are answered first.
    if (queue->ring.request_kick())
        raise_eventfd(kick_fd_);
}

}  // namespace vduse::device
