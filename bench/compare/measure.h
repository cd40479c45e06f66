// SPDX-License-Identifier: BSD-3-Clause

// Measures one case on one side at a time.
//
//   driver:  sends, or offers buffers, for a window of frames           not measured
//   device:  bursts until the window is done                            measured
//   driver:  takes back, checks                                         not measured
//
// In busy cases, the driver takes back the last window and makes the next one while the device
// works on one.
//
// The window is larger than a burst, so that the cost of reading the clock does not matter. A round
// is the median of many windows, which excludes windows that an interrupt or another process
// disturbed. The number and length of every frame are checked, and all bytes in the first window of
// each round.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>

#include "bench/compare/case.h"
#include "bench/compare/other_core.h"
#include "bench/compare/side.h"

namespace vduse::bench {

/// The most frames of a window.
inline constexpr uint16_t kMostFrames = 64;

class Bench {
  public:
    /// `other`: the core that runs the driver; nullptr: this core.
    Bench(const Case& what, rte_mempool* pool, OtherCore* other)
        : case_(what),
          pool_(pool),
          other_(other),
          frame_(what.frame, what.leaves),
          window_(std::min<uint16_t>(kMostFrames, kRingSize / frame_.buffers())) {}

    [[nodiscard]] const Frame& frame() const noexcept { return frame_; }

    /// One round: TSC cycles per frame.
    double round(Side& side, unsigned windows);
    /// The frames of such a round, its first window included.
    [[nodiscard]] unsigned frames_of_round(unsigned windows) const noexcept {
        return (windows + 1) * window_;
    }

  private:
    double window(Side& side, bool whole);
    double round_busy(Side& side, unsigned windows);
    // The driver's work for the window that begins with frame `number`.
    void give(Side& side, uint64_t number) const;
    void take_back(Side& side, uint64_t number, bool whole) const;
    /// The device's work for the next window. Calls `start` just before.
    template <class Start>
    double from_guest(Side& side, bool whole, Start start);
    template <class Start>
    double to_guest(Side& side, Start start);
    template <class Start>
    double bursts(Side& side, bool whole, Start start) {
        return case_.to_guest ? to_guest(side, start) : from_guest(side, whole, start);
    }
    template <class Work>
    void driver(Work work) {
        if (other_ != nullptr)
            other_->run(work);
        else
            work();
    }

    Case case_;
    rte_mempool* pool_;
    OtherCore* other_;
    Frame frame_;
    uint16_t window_;      ///< frames, all of which fit into the ring
    uint64_t number_ = 0;  ///< of the next frame
};

}  // namespace vduse::bench
