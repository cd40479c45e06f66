// SPDX-License-Identifier: BSD-3-Clause

// How a worker shares its time between lanes, when a burst of one of them costs much.
//
// A round gives each lane one burst of at most 32 frames. Some bursts cost a hundred times as much
// as others: long frames, or a driver with a byte in each of a thousand descriptors. So a lane
// whose burst took longer than a slice owes the others that much time: it sits out until they have
// had it, or have nothing to do. With one such lane the others keep half of the worker.
//
// A burst also seems long when the worker's CPU was taken away in it, so deficits have a limit.
//
// Bursts are only timed while rounds are long: a worker with short ones looks at the clock once a
// round. Times are in ticks of any clock that the caller has. Threads: the worker.
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

    /// Whether the bursts of the next round are to be timed.
    [[nodiscard]] bool timed() const noexcept { return timed_; }
    [[nodiscard]] bool sits_out(size_t lane) const noexcept { return deficits_[lane] != 0; }

    /// In a timed round: the burst of `lane` took so long.
    void ran(size_t lane, uint64_t took) noexcept {
        if (took > slice_)
            new_deficits_[lane] = std::min(took, limit_);
    }

    /// `now`: when it ended. `busy`: some lane had something to do.
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
    /// A lane that has paid comes back in a timed round, or its next burst would be free.
    static constexpr unsigned kRounds = 64;

    /// Whoever owes least is next when nobody else has anything to do.
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
    std::vector<uint64_t> new_deficits_;  ///< of this round, to be added when it ends
    uint64_t slice_;
    uint64_t limit_;
    uint64_t last_end_ = 0;
    unsigned rounds_to_time_ = 0;
    bool timed_ = false;
};

}  // namespace vduse::app
