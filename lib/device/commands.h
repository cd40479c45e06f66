// SPDX-License-Identifier: BSD-3-Clause

// The control queue of a device in service: executes commands and applies their effect.
//
// The state that a command proposes is passed to the data threads, to the configuration space and
// to the journal, and only then is the command acknowledged (net/control_queue.h). If a data thread
// does not leave a gate, the command is answered VIRTIO_NET_ERR.
//
// The queue is served on the control thread: it never depends on a data thread making a call.
//
// Threads: control.
#pragma once

#include <cstdint>

#include "device/config_space.h"
#include "device/memo.h"
#include "device/queues.h"
#include "net/control_queue.h"
#include "vduse/mac.h"

namespace vduse::device {

class Commands {
  public:
    /// All must outlive this. `kick_fd`: the eventfd of the control queue. `mac`: the address that
    /// is in effect until the driver sets another one.
    Commands(
        net::ControlQueue& control,
        Queues& queues,
        ConfigSpace& config_space,
        Memo& memo,
        int kick_fd,
        const MacAddress& mac
    )
        : control_(control),
          queues_(queues),
          config_space_(config_space),
          memo_(memo),
          kick_fd_(kick_fd),
          mac_(mac) {}

    /// Forgets what the driver has set, and publishes the resulting state.
    void reset(uint64_t features);
    /// Publishes the state that an earlier process left.
    void restore(uint64_t features, const net::ControlState& state);
    /// In effect from the next `reset` on.
    void set_mac(const MacAddress& mac) { mac_ = mac; }

    /// Executes up to a burst of commands. If there are more, it raises `kick_fd` for them.
    void serve();
    /// The same if the control queue was just started. Call it then before anything else is done.
    void serve_if_started();

  private:
    bool publish(const net::ControlState& state);

    net::ControlQueue& control_;
    Queues& queues_;
    ConfigSpace& config_space_;
    Memo& memo_;
    int kick_fd_;
    MacAddress mac_;
};

}  // namespace vduse::device
