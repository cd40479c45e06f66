// SPDX-License-Identifier: BSD-3-Clause

// The control queue of a device in service: who executes its commands, and makes what they say
// true.
//
// What a command proposes is shown to the data threads, the configuration space and the journal,
// and only then is the command acknowledged (net/control_queue.h). A data thread that does not
// leave a gate costs VIRTIO_NET_ERR.
//
// It is served on the control thread: nothing that it needs waits for a data thread to come.
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
    /// All must outlive this. `kick_fd`: the eventfd of the control queue. `mac`: what the driver
    /// gets before it says another one.
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

    /// What the driver said is forgotten, and what that means is published.
    void reset(uint64_t features);
    void restore(uint64_t features, const net::ControlState& state);
    /// From the next `reset` on.
    void set_mac(const MacAddress& mac) { mac_ = mac; }

    /// A burst of commands, if there are any. Where there are more, the queue is kicked for them.
    void serve();
    /// Before anything else is done, when the control queue may just have been started.
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
