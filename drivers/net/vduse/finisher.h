// SPDX-License-Identifier: BSD-3-Clause

// Software offloads on receive, for applications that do not accept unfinished frames
// (vduse/offload.h): computes checksums and segments large frames.
//
// A large frame may become more mbufs than a burst has room for, and its pool may be empty. The
// frames after it were taken from the ring already, so they are held here with it. Nothing is
// polled before all of them are delivered, so none is lost and their order is kept.
//
// Threads: the one that polls the queue; `held` any thread.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "base/counter.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::pmd {

/// Which unfinished frames the application accepts. Aligned as a word, or clang would call
/// libatomic for it.
struct alignas(uint64_t) RxRules {
    bool look = false;    ///< some frames need the Finisher
    bool csum = false;    ///< checksums
    bool large = false;   ///< large frames, and their checksums
    bool good = false;    ///< it wants RX_L4_CKSUM_GOOD for correct checksums
    bool legacy = false;  ///< it understands only Tx-style flags (legacy-ol-flags=1)
};
static_assert(std::atomic<RxRules>::is_always_lock_free);

/// What a Finisher did.
struct FinisherCounters {
    Counter csum_done;  ///< frames whose checksum was computed
    Counter cut;        ///< large frames
    Counter segments;   ///< the segments of these large frames
    Counter segment_bytes;
    Counter withheld;  ///< frames that were segmented or dropped
    Counter withheld_bytes;
    Counter dropped;  ///< frames and segments
};

class Finisher {
  public:
    explicit Finisher() = default;
    Finisher(const Finisher&) = delete;
    Finisher& operator=(const Finisher&) = delete;
    ~Finisher() { (void)free_held(); }

    /// Converts the first `polled` of `frames` (at most kMaxBurst) to what the application accepts.
    /// Returns the number of frames for it now. Not to be called while frames are held.
    uint16_t finish(
        std::span<rte_mbuf*> frames, uint16_t polled, RxRules rules, FinisherCounters& counters
    ) noexcept {
        uint64_t flags = 0;
        for (const rte_mbuf* frame : frames.first(polled))
            flags |= frame->ol_flags;
        if ((flags & (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO)) == 0)
            return polled;
        return finish_any(frames, polled, rules, counters);
    }

    /// Delivers held frames, as many as `frames` and their pool have room for.
    uint16_t deliver_held(
        std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
    ) noexcept;

    /// Frames taken from the ring and not, or not completely, delivered.
    [[nodiscard]] uint16_t held() const noexcept { return held_.load(std::memory_order_relaxed); }
    /// Drops held frames that will never be requested.
    void drop_held(FinisherCounters& counters) noexcept;

  private:
    uint16_t finish_any(
        std::span<rte_mbuf*> frames, uint16_t polled, RxRules rules, FinisherCounters& counters
    ) noexcept;
    uint16_t take(
        rte_mbuf* frame, std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
    ) noexcept;
    uint16_t complete(
        std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
    ) noexcept;
    uint32_t free_held() noexcept;
    void update_held() noexcept;

    std::atomic<uint16_t> held_ = 0;
    uint16_t next_ = 0;     ///< of `behind_`
    uint16_t count_ = 0;    ///< in `behind_`
    uint32_t starved_ = 0;  ///< consecutive bursts for which the pool was empty
    Completion completion_;
    std::array<rte_mbuf*, kMaxBurst> behind_;  ///< the frame in `completion_`
};

}  // namespace vduse::pmd
