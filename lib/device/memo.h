// SPDX-License-Identifier: BSD-3-Clause

// Keeps in the journal everything that the next process needs to adopt the device.
//
// The state is gathered from the parts. It is saved before a change is confirmed to its requester:
// before the answer to a message, before the ack of a command, before the interrupt for a link
// change, and before a ring that starts returns a chain. If the journal is up to date, it is not
// written again.
//
// A device that does not outlive the process has no journal, and this does nothing.
//
// Threads: control.
#pragma once

#include <optional>

#include "device/config_space.h"
#include "device/parts.h"
#include "device/state.h"
#include "net/control_queue.h"
#include "persist/journal.h"

namespace vduse::device {

class Memo {
  public:
    /// All but the journal must outlive this.
    Memo(
        std::optional<Journal> journal,
        const Parts& parts,
        const State& state,
        const ConfigSpace& config_space,
        const net::ControlQueue& control
    )
        : journal_(std::move(journal)),
          parts_(parts),
          state_(state),
          config_space_(config_space),
          control_(control) {}

    void save() { save(control_.state()); }
    /// The same with the state that the control queue is about to have.
    void save(const net::ControlState& control);

    /// Whether another process could adopt the device from the journal.
    [[nodiscard]] bool good() const { return journal_.has_value() && good_; }
    /// Closes the journal, so that another process can open it.
    void close() { journal_.reset(); }

  private:
    std::optional<Journal> journal_;
    const Parts& parts_;
    const State& state_;
    const ConfigSpace& config_space_;
    const net::ControlQueue& control_;
    bool good_ = true;  ///< the last write succeeded
};

}  // namespace vduse::device
