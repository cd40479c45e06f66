// SPDX-License-Identifier: BSD-3-Clause

// How a worker shares its time between lanes when the bursts of some lanes are expensive.
//
// A round gives each lane whose turn it is (poll_order.h) one burst of at most 32 frames. Some
// bursts cost a hundred times as much as others: long frames, or a driver that puts one byte into
// each of a thousand descriptors. A lane whose burst took longer than a slice therefore owes that
// time to the others. It sits out until they have used it, or have nothing to do. With one such
// lane the others keep half of the worker.
//
// A burst also seems long if the worker loses its CPU meanwhile, so deficits have a limit.
//
// Bursts are only timed while rounds are long. With short rounds the worker reads the clock once a
// round. Times are in ticks of the caller's clock. Threads: the worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace vduse::app {

class FairShare {
  public:
    FairShare(size_t lanes, uint64_t slice, uint64_t limit)
        : deficits_(lanes), new_deficits_(lanes), slice_(slice), limit_(limit) {}

    /// Whether the caller must time the bursts of the next round.
    [[nodiscard]] bool timed() const noexcept { return timed_; }
    [[nodiscard]] bool sits_out(size_t lane) const noexcept { return deficits_[lane] != 0; }

    /// Call it for each burst of a timed round.
    void ran(size_t lane, uint64_t took) noexcept {
        if (took > slice_)
            new_deficits_[lane] = std::min(took, limit_);
    }

    /// `busy`: some lane had something to do.
    void round_ended(uint64_t now, bool busy) noexcept {
        const uint64_t took = now - last_end_;
        last_end_ = now;
        if (timed_)
            settle(busy ? took : least_deficit());
        if (took > slice_)
            rounds_to_time_ = kRounds;
        timed_ = rounds_to_time_ != 0;
        rounds_to_time_ -= timed_ ? 1 : 0;
    }

  private:
    /// Rounds that are still timed after the last deficit is paid. Otherwise the next burst of that
    /// lane would cost it nothing.
    static constexpr unsigned kRounds = 64;

    /// What an idle round pays: the lane that owes least is next.
    [[nodiscard]] uint64_t least_deficit() const noexcept {
        uint64_t least = limit_;
        for (const uint64_t deficit : deficits_)
            if (deficit != 0)
                least = std::min(least, deficit);
        return least;
    }
    void settle(uint64_t paid) noexcept {
        for (size_t i = 0; i < deficits_.size(); ++i) {
            deficits_[i] -= std::min(deficits_[i], paid);
            deficits_[i] += std::exchange(new_deficits_[i], 0);
            if (deficits_[i] != 0)
                rounds_to_time_ = kRounds;
        }
    }

    std::vector<uint64_t> deficits_;      ///< by lane; not 0: it sits out
    std::vector<uint64_t> new_deficits_;  ///< of this round, added when it ends
    uint64_t slice_;
    uint64_t limit_;
    uint64_t last_end_ = 0;
    unsigned rounds_to_time_ = 0;
    bool timed_ = false;
};

}  // namespace vduse::app
