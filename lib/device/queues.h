// SPDX-License-Identifier: BSD-3-Clause

// All queues of a device: stops them, starts them, and serves the requests of data threads.
//
// A queue is stopped by closing its gate, and keeps its position. When it starts, everything that
// may have changed is looked up again. A queue whose ring is not mapped or not sane stays stopped
// ("stalled") and is tried again when something that it depends on has changed. A queue whose
// driver broke it is quarantined until the driver resets the device.
//
// A kernel without VDUSE_F_QUEUE_READY does not send a message when a queue becomes ready. It is
// polled from DRIVER_OK on, after each message and in each turn of the loop. A queue that is not
// ready wakes the loop by its first kick.
//
// A data thread may sleep until the driver kicks. So opening the gate of a from_guest queue raises
// its eventfd: kicks that came while the queue was stopped were lost, and it may have another ring
// now. The control queue has no data thread, and its gate never opens. After starting queues, the
// caller checks `control_started` and serves it.
//
// What a hostile driver could try: rings that lie (ring/split.h); addresses that nothing maps, one
// after the other (each is looked up once); new rings while they are served.
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
    message,  ///< a queue may become ready without a message: in the next turn of the loop
    start,    ///< a queue waits for the kernel to call it ready or for a data thread to leave: soon
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

    // Stopping. false: a data thread did not leave in time. Its gate is closed, but its memory must
    // stay.
    /// Stops the queues that may not run on unchanged when `step` is taken. Call it before the step
    /// becomes the state.
    bool stop_for(const Step& step);
    bool stop_all();

    // Starting.
    /// For a kernel without VDUSE_F_QUEUE_READY: makes the messages that the kernel does not send.
    std::vector<SetQueueReady> ask_ready();
    /// Starts the queues that should run but do not.
    void start_all();
    /// Why `start_all` should be called again. Call `clear_pending` before that.
    [[nodiscard]] Pending pending() const { return pending_; }
    void clear_pending() { pending_ = Pending::nothing; }
    /// Whether the control queue has started since the last call, and so must be served.
    bool control_started() { return std::exchange(control_started_, false); }
    /// The control queue if it runs, else nullptr.
    [[nodiscard]] Queue* control() const;

    // Changes.
    /// Forgets everything that the driver has set.
    void reset();
    /// Takes over the queues as an earlier process left them.
    void adopt(std::span<const ring::Position> positions);
    /// The driver's side has made the queue ready, and sets where it starts.
    void made_ready(uint32_t index);
    /// Applies the negotiated features.
    void set_rules();
    /// Shows the state of the control queue to data threads. false: one of them does not leave.
    bool publish(const net::ControlState& state);
    /// Shows to any thread what the driver uses now: pairs, MAC address.
    void show_driver();
    /// Maps a space again under its running queues.
    void remap(uint32_t space);

    /// Serves the requests of data threads and injects interrupts that the kernel could not deliver
    /// before. Returns whether one still cannot be delivered.
    bool service();

    /// The position of a queue, which is stopped to read it; `start_all` starts it again. Nothing
    /// if a data thread does not leave.
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
    /// Takes queues out of service whose driver truncated its memory.
    void look_for_lost_memory();
    /// Maps `space` again under its running queues and those in `stopped`. Returns the queues to
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
    bool quarantined_ = false;  ///< at least one queue is
};

}  // namespace vduse::device
