// SPDX-License-Identifier: BSD-3-Clause

// The state of a device's driver that any thread may read: how many queue pairs it uses, its MAC
// address, and whether the device is out of service.
//
// The driver sets the first two through the control queue, and they are valid while it is ready.
// They may be read at any time, so each is one word, and readers must not expect two of them to be
// consistent. Nothing that a driver sets here is trusted: values are checked when its commands are
// executed.
//
// Threads: control writes, any thread reads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "device/state.h"
#include "vduse/mac.h"
#include "vduse/steering.h"

namespace vduse::device {

class DriverView {
  public:
    /// `state` must outlive this.
    explicit DriverView(const State& state) : state_(state) {}

    // Control.
    /// Sets the values from the control queue.
    void set(uint16_t pairs, const MacAddress& mac) noexcept {
        pairs_ = pairs;
        mac_ = mac;
    }
    void set_broken() noexcept { broken_.store(true, std::memory_order_relaxed); }
    /// Shows the values to readers. Call it after either of these, and when the state has changed.
    void refresh() noexcept {
        const bool ready = state_.driver_ok() && !broken();
        steering_.store(Steering(ready ? pairs_ : uint16_t{0}), std::memory_order_relaxed);
        // A suspended guest may be about to send from another host.
        uint64_t word = 0;
        if (ready && !state_.suspended)
            for (size_t i = 0; i < mac_.size(); ++i)
                word |= uint64_t{mac_[i]} << 8 * i;
        mac_word_.store(word, std::memory_order_relaxed);
    }

    // Any thread.
    /// Distributes over the pairs that the driver uses.
    [[nodiscard]] Steering steering() const noexcept {
        return steering_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] uint16_t active_pairs() const noexcept { return steering().queues(); }
    [[nodiscard]] std::optional<MacAddress> mac() const noexcept {
        const uint64_t word = mac_word_.load(std::memory_order_relaxed);
        if (word == 0)
            return std::nullopt;
        MacAddress mac;
        for (size_t i = 0; i < mac.size(); ++i)
            mac[i] = static_cast<uint8_t>(word >> 8 * i);
        return mac;
    }
    [[nodiscard]] bool broken() const noexcept { return broken_.load(std::memory_order_relaxed); }

  private:
    const State& state_;
    uint16_t pairs_ = 1;
    MacAddress mac_{};
    std::atomic<Steering> steering_{Steering()};
    static_assert(decltype(steering_)::is_always_lock_free);
    std::atomic<uint64_t> mac_word_ = 0;  ///< six bytes, the first is the lowest; 0: none
    std::atomic<bool> broken_ = false;
};

}  // namespace vduse::device
