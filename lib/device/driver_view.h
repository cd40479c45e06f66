// SPDX-License-Identifier: BSD-3-Clause

// What any thread may know of a device's driver: how many queue pairs it uses, under which address
// it receives, and that the device is out of service.
//
// The driver says the first two by the control queue, and they hold while it is ready. Readers look
// at them at any time, so each is one word, and no reader may expect that two of them belong
// together. Nothing that a driver says here is believed: it is bounded by who executes commands.
//
// Threads: control changes it, any reads it.
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
    /// What the control queue says.
    void set(uint16_t pairs, const MacAddress& mac) noexcept {
        pairs_ = pairs;
        mac_ = mac;
    }
    void set_broken() noexcept { broken_.store(true, std::memory_order_relaxed); }
    /// Behind either, and when the state has changed.
    void refresh() noexcept {
        const bool ready = state_.driver_ok() && !broken();
        steering_.store(Steering(ready ? pairs_ : uint16_t{0}), std::memory_order_relaxed);
        // A guest that is suspended may be about to be heard elsewhere.
        uint64_t word = 0;
        if (ready && !state_.suspended)
            for (size_t i = 0; i < mac_.size(); ++i)
                word |= uint64_t{mac_[i]} << 8 * i;
        mac_word_.store(word, std::memory_order_relaxed);
    }

    // Any thread.
    /// Over the pairs that the driver uses.
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
    std::atomic<uint64_t> mac_word_ = 0;  ///< six bytes, the first the lowest; 0: none
    std::atomic<bool> broken_ = false;
};

}  // namespace vduse::device
