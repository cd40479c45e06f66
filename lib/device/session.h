// SPDX-License-Identifier: BSD-3-Clause

// One device in service: performs the steps of the state machine through the kernel's interface.
//
// Every message is handled in the same way (`handle`):
//
//   next(state, message)  ->  stop the queues that may not run on unchanged  ->  act  ->  save
//                         ->  answer  ->  start the queues that should run but do not
//
// This one mechanism serves reset, suspend, queue start and stop, IOTLB changes and moves of a
// group. Memory that an answer gives back to the kernel is unmapped before the answer, after the
// last data thread has left it. Everything that the next process needs is in the journal before the
// answer.
//
// The work is done by parts that own their state and do not know the session. An arrow points to
// the part that is used:
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
// What a hostile driver could try arrives here as messages, which the state machine checks. The
// rest is described at the parts.
//
// Threads: control, except where "any thread" is noted.
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
    /// Makes or adopts /dev/vduse/NAME. `wake_fd` is an eventfd that data threads write to wake
    /// control. `timeout`: how long control waits for a data thread to leave a queue.
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
    /// Starts the queues that should run but do not.
    void reconcile();
    /// Serves requests of data threads, and retries what failed before. Cheap if there is nothing
    /// to do. Returns whether to call it again in about a millisecond.
    bool tick();
    /// Does some low-priority work. false: there is none.
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
    /// Stops all queues. Code ETIMEDOUT: a data thread does not leave one, and the device stays in
    /// service. After success, `reconcile` puts it back into service.
    Result<void> stop();
    /// After `stop`. `keep`: the kernel's device stays, unless it is broken.
    Result<void> destroy(bool keep);
    /// `stop`, if another process can adopt the device from the journal.
    Result<void> prepare_to_release();
    /// Closes the node. All queues must be stopped.
    void release();

    // Any thread.
    [[nodiscard]] const DriverView& driver() const noexcept { return driver_; }
    /// Any thread may use the shape, the configuration and the queues; the rest is control's.
    [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

  private:
    Session(Parts parts, std::chrono::milliseconds timeout);
    /// Begins from a reset, or from the state in which an earlier process left the device.
    void begin();

    void handle(const uapi::abi::Request& request);
    void act(const Step& step);
    /// Returns whether the answer was OK.
    bool answer(const uapi::abi::Request& request, bool ok);
    void reset();
    /// Updates the link state in the configuration space. If it changed, the driver is interrupted.
    void refresh_link();
    /// All queues must be stopped.
    void close_node();
    void poll_health();

    // Each part refers to some of those above it.
    Parts parts_;
    State state_;
    bool adopted_ = false;  ///< the device existed before
    bool link_up_ = false;  ///< as set by the caller
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
