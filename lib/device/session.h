// SPDX-License-Identifier: BSD-3-Clause

// One device in service: performs what the state machine says, over the kernel's interface.
//
// Every message goes the same way (`handle`):
//
//   next(state, message)  ->  stop the queues that may not go on as they are  ->  act  ->  save
//                         ->  answer  ->  start the queues that should run now and do not
//
// So one mechanism serves reset, suspend, queue start and stop, IOTLB changes and moves of a group.
// Memory that an answer hands back to the kernel is unmapped before the answer, after the last data
// thread has left it. What the next process must know is in the journal before the answer.
//
// The work is done by parts that own their state and know nothing of the session. An arrow goes to
// what a part uses:
//
//   Commands  ->  Queues  ->  Spaces  ->  Parts: shape, configuration, the nodes of the kernel, the
//      |             |                           queues with their gates
//      |             +--->  Memo  ->  ConfigSpace
//      |             +--->  DriverView
//      +--->  ConfigSpace
//
// The control queue is served on the control thread, as soon as it has started and before anything
// else is done: QEMU depends on its commands being executed before data queues run.
//
// What a hostile driver could try comes here as messages, which the state machine checks, or is
// said at the part that it meets.
//
// Threads: all on control, but for what says "any thread".
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "device/commands.h"
#include "device/config_space.h"
#include "device/driver_view.h"
#include "device/health.h"
#include "device/memo.h"
#include "device/parts.h"
#include "device/queues.h"
#include "device/requests.h"
#include "device/spaces.h"
#include "device/state.h"
#include "net/control_queue.h"
#include "sched/gate.h"
#include "vduse/config.h"
#include "vduse/info.h"
#include "vduse/mac.h"

namespace vduse::device {

class Session {
  public:
    /// Makes /dev/vduse/NAME, or goes on with it. `wake_fd` is an eventfd that data threads write
    /// to call control. `timeout`: how long control waits for a data thread to leave a queue.
    static Result<std::unique_ptr<Session>> create(
        uapi::Kernel& kernel,
        const DeviceConfig& config,
        memory::TableAllocator& allocator,
        int wake_fd,
        std::chrono::milliseconds timeout = sched::Gate::kTimeout
    );
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    // Control's loop.
    /// -1 after `destroy`.
    [[nodiscard]] int message_fd() const { return parts_.node ? parts_.node->fd() : -1; }
    void handle_messages();
    void handle_kick();
    /// Starts what should run and does not.
    void reconcile();
    /// What data threads called for, and what could not be done the first time. Cheap when there is
    /// nothing. Returns whether to be called again in about a millisecond.
    bool tick();
    /// A piece of work for an idle moment; false when there is none.
    bool idle_work() { return spaces_.prefault_step(); }
    void set_broken(const char* why);

    // Control's callers.
    void set_link(bool up);
    Result<void> set_mac(const MacAddress& mac);
    void set_node(uint16_t pair, int numa_node);
    [[nodiscard]] DeviceInfo info() const;
    /// Without `stats`.
    [[nodiscard]] std::optional<QueueInfo> queue_info(uint32_t index) const;
    [[nodiscard]] std::vector<ControlEvent> events() const { return events_.list(); }
    /// `keep`: the kernel's device stays, unless it is broken.
    Result<void> destroy(bool keep);
    /// Stops all queues, if another process can go on from the journal; else goes on. `reconcile`
    /// goes on after this.
    Result<void> prepare_to_release();
    /// Closes the node. All queues are stopped.
    void release();

    // Any thread.
    [[nodiscard]] const DriverView& driver() const noexcept { return driver_; }
    /// Shape, configuration and queues; the rest is control's.
    [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

  private:
    Session(Parts parts, std::chrono::milliseconds timeout);
    /// Anew, or where an earlier process left the device.
    void begin();

    void handle(const uapi::abi::Request& request);
    void act(const Step& step);
    /// Returns what was answered.
    bool answer(const uapi::abi::Request& request, bool ok);
    void reset();
    /// The link as the driver is to see it. It is told, if that is news.
    void refresh_link();
    /// All queues are stopped.
    void close_node();
    void poll_health();

    // Each part refers to some of those above it.
    Parts parts_;
    State state_;
    bool adopted_ = false;  ///< the device was there before
    bool link_up_ = false;  ///< as control's caller says
    EventLog events_;
    Health health_;
    Spaces spaces_;
    net::ControlQueue control_;
    ConfigSpace config_space_;
    Memo memo_;
    DriverView driver_;
    Queues queues_;
    Commands commands_;
};

}  // namespace vduse::device
