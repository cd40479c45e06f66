// SPDX-License-Identifier: BSD-3-Clause

// The configuration space: the kernel has a copy, which we write by fields (its readers see no more
// than one field change at a time) and call the driver's attention to.
//
// The journal and the copy may differ when a process ends between the two, and then the journal is
// right: who goes on with a device calls `forget`, and what is set next is written in any case.
//
// Drivers only read it, so there is nothing that a hostile one could try here.
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
    /// Of a device that was made with the link down and with `mac`. `name` is for log lines.
    ConfigSpace(const std::string& name, uapi::DeviceNode& node, const MacAddress& mac)
        : name_(name), node_(node), mac_(mac) {}

    /// Returns whether that is news: the journal is to have it, and then the driver.
    bool set_link(bool up);
    void set_mac(const MacAddress& mac);
    /// What is there is not known any more.
    void forget();

    /// Of a driver that is ready.
    void interrupt();
    /// The kernel could not just then: again a little later.
    [[nodiscard]] bool owes_interrupt() const noexcept { return owes_interrupt_; }
    /// The driver is gone.
    void drop_interrupt() noexcept { owes_interrupt_ = false; }

    /// As the driver reads it.
    [[nodiscard]] uint16_t status() const noexcept { return status_; }

  private:
    const std::string& name_;
    uapi::DeviceNode& node_;
    uint16_t status_ = 0;
    std::optional<MacAddress> mac_;
    bool owes_interrupt_ = false;
};

}  // namespace vduse::device
