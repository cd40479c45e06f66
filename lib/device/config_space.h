// SPDX-License-Identifier: BSD-3-Clause

// The configuration space. The kernel has a copy, which is written field by field, so that readers
// see one field change at a time. The driver is then notified by an interrupt.
//
// If a process exits between writing the copy and writing the journal, the two differ, and the
// journal is right. So the process that adopts the device calls `forget`, after which the next
// values are written in any case.
//
// Drivers only read it, so there is nothing that a hostile driver could try here.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "uapi/kernel.h"
#include "vduse/mac.h"

namespace vduse::device {

class ConfigSpace {
  public:
    /// For a device that was made with the link down and with `mac`. `name` is for log lines.
    ConfigSpace(const std::string& name, uapi::DeviceNode& node, const MacAddress& mac)
        : name_(name), node_(node), mac_(mac) {}

    /// Returns whether the link state changed. Then save the journal first and interrupt the driver
    /// after that.
    bool set_link(bool up);
    void set_mac(const MacAddress& mac);
    /// The content of the kernel's copy is unknown from now on.
    void forget();

    /// Interrupts the driver, which must be ready.
    void interrupt();
    /// The kernel could not deliver the interrupt: call `interrupt` again a little later.
    [[nodiscard]] bool owes_interrupt() const noexcept { return owes_interrupt_; }
    /// The driver is gone.
    void drop_interrupt() noexcept { owes_interrupt_ = false; }

    /// The `status` field, as the driver reads it.
    [[nodiscard]] uint16_t status() const noexcept { return status_; }

  private:
    const std::string& name_;
    uapi::DeviceNode& node_;
    uint16_t status_ = 0;
    std::optional<MacAddress> mac_;
    bool owes_interrupt_ = false;
};

}  // namespace vduse::device
