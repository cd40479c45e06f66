// SPDX-License-Identifier: BSD-3-Clause

// What a next process must know to go on with the device, kept in the journal.
//
// It is gathered from where each part has it, and saved before whoever asked for a change hears
// that it was made: before the answer to a message, before the ack of a command, before the driver
// is told of its link, and before a ring that starts returns a chain. A journal that has that
// already is not written again.
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
    /// All must outlive this, but for the journal.
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
    /// The same with what the control queue is about to say.
    void save(const net::ControlState& control);

    /// Another process could go on from what was saved last.
    [[nodiscard]] bool good() const { return journal_.has_value() && good_; }
    /// Lets another process have the journal.
    void close() { journal_.reset(); }

  private:
    std::optional<Journal> journal_;
    const Parts& parts_;
    const State& state_;
    const ConfigSpace& config_space_;
    const net::ControlQueue& control_;
    bool good_ = true;  ///< what it should hold it does
};

}  // namespace vduse::device
