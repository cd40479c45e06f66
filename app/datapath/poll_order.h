// SPDX-License-Identifier: BSD-3-Clause

// Which lanes a worker polls in a round.
//
// Most queues of a host with many guests are idle, and polling 255 of them takes longer than a
// burst on the one that is busy. So a lane that was polled in vain for some rounds rests: it is no
// longer polled in each round, only in turn with the others that rest.
//
//     order_   | active lanes: all in each round | resting lanes: some in each round |
//                                              active_              ^ next_
//
// A round polls a sixteenth of the resting lanes, or four for each busy lane if that is more. If
// all lanes rest, a round is a sixteenth as long, so each lane is still polled about as often. If
// a few are busy, a resting lane waits microseconds: the worker lets lanes rest only while its
// rounds are short (fair_share.h). A worker with few lanes polls all of them in each round that
// has something to do.
//
// Threads: the worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace vduse::app {

class PollOrder {
  public:
    explicit PollOrder(size_t lanes) : order_(lanes), in_vain_(lanes), active_(lanes) {
        std::iota(order_.begin(), order_.end(), uint32_t{0});
    }

    /// One round: calls `poll(lane)` for the lanes whose turn it is. It returns whether the lane
    /// had something to do.
    template <class Poll>
    void round(Poll poll) noexcept {
        size_t busy = 0;
        for (size_t i = 0; i < active_;) {
            const uint32_t lane = order_[i];
            if (poll(lane)) {
                in_vain_[lane] = 0;
                ++busy;
            } else if (++in_vain_[lane] == kRounds) {
                std::swap(order_[i], order_[--active_]);
                continue;
            }
            ++i;
        }
        const size_t resting = order_.size() - active_;
        const size_t visits = std::max((resting + kPart - 1) / kPart, kPerBusy * busy);
        for (size_t left = std::min(visits, resting); left != 0; --left) {
            if (next_ < active_ || next_ >= order_.size())
                next_ = active_;
            const uint32_t lane = order_[next_];
            if (poll(lane)) {
                in_vain_[lane] = 0;
                std::swap(order_[next_], order_[active_++]);
            }
            ++next_;
        }
    }

  private:
    static constexpr uint8_t kRounds = 64;  ///< polls in vain before a lane rests
    static constexpr size_t kPart = 16;
    static constexpr size_t kPerBusy = 4;

    std::vector<uint32_t> order_;
    std::vector<uint8_t> in_vain_;  ///< by lane: polls in a row that found nothing
    size_t active_;
    size_t next_ = 0;
};

}  // namespace vduse::app
