// SPDX-License-Identifier: BSD-3-Clause

// Selects the queue for the frames of a sender, which is a queue or a thread of the caller. Senders
// are distributed over the queues that take frames now. The frames of one sender stay in order,
// because they all go to one queue.
//
// A plain value, made from the pairs that a driver uses at a moment (`Device::steering`) or from
// the tx queues of a port. The division is done when it is made: a burst pays a load and two
// multiplications.
//
// What a hostile driver could try: change the number of its pairs all the time. Each burst uses one
// value, and a pair that the driver has given up takes no frames.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>

namespace vduse {

/// Aligned so that an atomic holds it in one word.
class alignas(uint64_t) Steering {
  public:
    /// No queue takes frames.
    constexpr Steering() noexcept = default;
    /// Queues 0 to `queues` - 1 take frames.
    explicit constexpr Steering(uint16_t queues) noexcept
        : reciprocal_(queues != 0 ? UINT32_MAX / queues + 1 : 0), queues_(queues) {}

    [[nodiscard]] constexpr uint16_t queues() const noexcept { return queues_; }

    /// The queue for `sender`, which the caller numbers: `sender` modulo `queues()`. Nothing if no
    /// queue takes frames.
    [[nodiscard]] constexpr std::optional<uint16_t> queue_for(uint16_t sender) const noexcept {
        if (queues_ == 0)
            return std::nullopt;
        // Exact for 16 bits (Lemire, Kaser, Kurz: Faster remainder by direct computation, 2019).
        const uint32_t fraction = reciprocal_ * sender;
        return static_cast<uint16_t>(uint64_t{fraction} * queues_ >> 32);
    }

  private:
    uint32_t reciprocal_ = 0;  ///< 2^32 / queues_, rounded up
    uint16_t queues_ = 0;
};

}  // namespace vduse
