// One device in service: performs what the state machine says, over the kernel's interface.
//
// Every message goes the same way (`handle`):
//
//   next(state, message)  ->  stop the queues that may not go on as they are  ->  act  ->  answer
//                         ->  start the queues that should run now and do not (`reconcile`)
//
// A queue is stopped by closing its gate, and keeps its position. So one mechanism serves reset,
// suspend, queue start and stop, IOTLB changes and moves of a group: what changed is looked up anew
// when the queue starts. Memory that an answer hands back to the kernel is unmapped before the
// answer, after the last data thread has left it. A queue whose ring is not mapped or not sane
// stays stopped
// ("stalled") and is tried again when something that it depends on has changed.
//
// A kernel without VDUSE_F_QUEUE_READY does not tell which queues are ready. It is asked, from
// DRIVER_OK on, after each message and in each turn of the loop, and a queue that is not ready
// wakes the loop by its first kick.
//
// The ring of the control queue is served here too, on the control thread: nothing that it needs
// waits for a data thread to come, and it is served before any data queue runs (QEMU depends on
// that).
//
// A data thread may sleep until the driver kicks, so whoever opens the gate of a from_guest queue
// wakes it: kicks that came while the queue was stopped went to nobody, and its ring may be another
// now.
//
// Threads: all on control, but for what says "data threads" or "any thread".
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "device/config_space.h"
#include "device/driver_view.h"
#include "device/health.h"
#include "device/memo.h"
#include "device/parts.h"
#include "device/queue.h"
#include "device/requests.h"
#include "device/spaces.h"
#include "device/state.h"
#include "net/control_queue.h"
#include "sched/gate.h"
#include "uapi/kernel.h"
#include "vduse/config.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::device {

class Session {
  public:
    /// Makes /dev/vduse/NAME, or goes on with it. `wake_fd` is an eventfd that data threads write
    /// to call control. `patience`: how long control waits for a data thread to leave a queue.
    static Result<std::unique_ptr<Session>> create(
        uapi::Kernel& kernel,
        const DeviceConfig& config,
        memory::Placer& placer,
        int wake_fd,
        std::chrono::milliseconds patience = sched::Gate::kPatience
    );
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    // Control's loop.
    /// -1 after `destroy`.
    [[nodiscard]] int message_fd() const { return parts_.node ? parts_.node->fd() : -1; }
    [[nodiscard]] int kick_fd() const { return parts_.kick.get(); }
    void handle_messages();
    void handle_kick();
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
    /// Stops all queues, if another process can go on from the journal; else it serves on.
    Result<void> prepare_to_let_go();
    /// Goes on after that.
    void serve_on();
    /// Closes the node, after that.
    void let_go();

    // Any thread.
    [[nodiscard]] const DriverView& driver() const noexcept { return driver_; }
    [[nodiscard]] const Shape& shape() const noexcept { return parts_.shape; }
    [[nodiscard]] const DeviceConfig& config() const noexcept { return parts_.config; }
    [[nodiscard]] Queue& queue(uint32_t index) const noexcept { return parts_.queues[index]; }

  private:
    Session(Parts parts, std::chrono::milliseconds patience);
    /// Where the device is when there is nothing to go on from, or where an earlier process left
    /// it.
    void begin();
    void go_on(const Record& record);
    /// Where a queue stands that an earlier process served and that did not start yet.
    void resume(uint32_t index);

    // session.cc: messages
    void handle(const uapi::abi::Request& request);
    Message understand(const uapi::abi::Request& request);
    void act(const Step& step);
    /// Returns what was answered.
    bool answer(const uapi::abi::Request& request, bool ok);
    void reset();
    void negotiate();
    void set_rules();
    /// The link as the driver is to see it. It is told, if that is news.
    void refresh_link();
    /// Nothing while a data thread is inside that does not leave.
    std::optional<ring::Position> position(uint32_t index);
    /// Stops all queues, and leaves the kernel's device.
    Result<void> close();
    /// All queues are stopped.
    void close_node();

    // queues.cc
    bool stop_for(const Step& step);
    bool stop_all();
    /// false: a data thread did not leave in time; its gate is closed, its memory must stay.
    bool stop(std::span<const uint32_t> indices);
    /// Starts what should run and does not.
    void reconcile();
    void start(uint32_t index);
    /// For a kernel that does not tell which queues are ready.
    void ask_ready();
    ring::LoadError load(uint32_t index, const uapi::abi::VqInfo& info);
    void open(std::span<const uint32_t> indices);
    void stall(uint32_t index, const char* why);
    void attend(uint32_t index);
    void quarantine(uint32_t index);
    void serve_control();
    bool publish(const net::ControlState& state);
    /// Tells any thread what the driver uses now: pairs, MAC address.
    void show_driver();
    void look_after_health();

    /// Maps `space` anew under its running queues, and those in `stopped`. Returns the ones to
    /// open.
    std::vector<uint32_t> look_again(uint32_t space, std::span<const uint32_t> stopped);
    /// Takes the queues out of service whose driver cut its memory off.
    void look_for_lost_memory();

    [[nodiscard]] bool is_control(uint32_t index) const {
        return control_queue(parts_.shape, state_.features) == index;
    }
    [[nodiscard]] const char* name() const { return parts_.config.name.c_str(); }

    Parts parts_;
    std::chrono::milliseconds patience_;
    MacAddress mac_{};
    bool adopted_ = false;  ///< the device was there before
    EventLog events_;
    Health health_;

    State state_;
    Spaces spaces_;
    net::ControlQueue control_;
    ConfigSpace config_space_;
    Memo memo_;
    DriverView driver_;
    bool link_up_ = false;
    bool start_pending_ = false;  ///< a queue waits for the kernel to call it ready
    bool unready_ = false;        ///< a queue may become ready, and nobody will tell

    // Read by data threads inside a gate, changed while all gates are closed.
    net::Filter filter_;
};

}  // namespace vduse::device
