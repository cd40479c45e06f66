// SPDX-License-Identifier: BSD-3-Clause

// All queues of a device: stopped, started, and served where a data thread called for help.
//
// A queue is stopped by closing its gate, and keeps its position. What changed meanwhile is looked
// up anew when it starts. A queue whose ring is not mapped or not sane stays stopped ("stalled")
// and is tried again when something that it depends on has changed; one whose driver broke it is
// quarantined until the driver resets the device.
//
// A kernel without VDUSE_F_QUEUE_READY does not tell which queues are ready. It is asked, from
// DRIVER_OK on, after each message and in each turn of the loop, and a queue that is not ready
// wakes the loop by its first kick.
//
// A data thread may sleep until the driver kicks, so whoever opens the gate of a from_guest queue
// wakes it: kicks that came while the queue was stopped went to nobody, and its ring may be another
// now. The control queue has no data thread, and its gate never opens: whoever has started queues
// asks `control_started` and serves it.
//
// What a hostile driver could try: rings that lie (ring/split.h), addresses that nothing maps, one
// after the other (each is asked for once), rings made anew while they are served.
//
// Threads: control.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "device/driver_view.h"
#include "device/memo.h"
#include "device/parts.h"
#include "device/spaces.h"
#include "device/state.h"
#include "net/control_queue.h"
#include "ring/position.h"

namespace vduse::device {

enum class Pending : uint8_t {
    nothing,
    message,  ///< a queue may become ready, and nobody will tell: in the next turn of the loop
    start,    ///< one waits for the kernel to call it ready, or for a data thread to leave: soon
};

class Queues {
  public:
    /// All must outlive this. `timeout`: how long control waits for a data thread to leave.
    Queues(
        const Parts& parts,
        const State& state,
        Spaces& spaces,
        Memo& memo,
        DriverView& driver,
        std::chrono::milliseconds timeout
    )
        : parts_(parts),
          state_(state),
          spaces_(spaces),
          memo_(memo),
          driver_(driver),
          timeout_(timeout) {}

    // Stopping. false: a data thread did not leave in time; its gate is closed, its memory must
    // stay.
    /// Those that may not go on as they are when `step` is taken from the state that is.
    bool stop_for(const Step& step);
    bool stop_all();

    // Starting.
    /// For a kernel that does not tell which queues are ready: the messages that it did not send.
    std::vector<SetQueueReady> ask_ready();
    /// Starts what should run and does not.
    void start_all();
    /// Why `start_all` should be called again. Forgotten before it is, by `clear_pending`.
    [[nodiscard]] Pending pending() const { return pending_; }
    void clear_pending() { pending_ = Pending::nothing; }
    /// The control queue is to be served: it runs since this was last asked.
    bool control_started() { return std::exchange(control_started_, false); }
    /// The control queue, if it runs.
    [[nodiscard]] Queue* control() const;

    // What changes them.
    /// The driver is gone, and all that it said.
    void reset();
    /// As an earlier process left them.
    void adopt(std::span<const ring::Position> positions);
    /// The driver's side has said so, and says where the queue starts.
    void made_ready(uint32_t index);
    /// The features are negotiated.
    void set_rules();
    /// Shows data threads what the control queue says. false: one of them does not leave.
    bool publish(const net::ControlState& state);
    /// Tells any thread what the driver uses now: pairs, MAC address.
    void show_driver();
    /// Maps a space anew under its running queues.
    void remap(uint32_t space);

    /// What data threads called for, and interrupts that the kernel could not deliver. Returns
    /// whether one still cannot be.
    bool service();

    /// Where a queue is, which stops for the moment that it takes to read. Nothing while a data
    /// thread is inside that does not leave.
    std::optional<ring::Position> position(uint32_t index);
    [[nodiscard]] bool any_quarantined() const { return quarantined_; }

  private:
    bool stop(std::span<const uint32_t> indices);
    void start(uint32_t index);
    void open(std::span<const uint32_t> indices);
    ring::LoadError load(uint32_t index, const uapi::abi::VqInfo& info);
    void stall(uint32_t index, const char* why);
    void service_queue(uint32_t index);
    void quarantine(uint32_t index);
    /// Takes the queues out of service whose driver cut its memory off.
    void look_for_lost_memory();
    /// Maps `space` anew under its running queues, and those in `stopped`. Returns the ones to
    /// open.
    std::vector<uint32_t> look_again(uint32_t space, std::span<const uint32_t> stopped);

    const Parts& parts_;
    const State& state_;
    Spaces& spaces_;
    Memo& memo_;
    DriverView& driver_;
    std::chrono::milliseconds timeout_;
    /// Read by data threads inside a gate, changed while all gates are closed.
    net::Filter filter_;
    Pending pending_ = Pending::nothing;
    bool control_started_ = false;
    bool quarantined_ = false;  ///< one of them is
};

}  // namespace vduse::device
