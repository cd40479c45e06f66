// SPDX-License-Identifier: BSD-3-Clause

// Traffic from the guest on many lanes by one thread, and messages of the kernel meanwhile.
#pragma once

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "bench/scale/fleet.h"

namespace vduse::bench {

inline constexpr uint16_t kTrafficBurst = 32;
/// Frames that a driver sends at once.
inline constexpr uint16_t kTrafficWindow = 128;

/// One burst: takes frames and frees them. Returns their number.
inline uint16_t take(const Fleet::Lane& lane, rte_mempool* pool) noexcept {
    std::array<rte_mbuf*, kTrafficBurst> frames;
    const uint16_t count = lane.pair.from_guest(pool, frames);
    if (count != 0)
        rte_pktmbuf_free_bulk(frames.data(), count);
    return count;
}

/// Runs `work` on `cpu`, in a thread of its own, until it returns.
class OnCpu {
  public:
    template <class Work>
    OnCpu(int cpu, Work work) : thread_(std::move(work)) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        (void)::pthread_setaffinity_np(thread_.native_handle(), sizeof set, &set);
    }
    OnCpu(const OnCpu&) = delete;
    OnCpu& operator=(const OnCpu&) = delete;
    ~OnCpu() { thread_.join(); }

  private:
    std::thread thread_;
};

/// Times in microseconds.
struct Latencies {
    std::vector<double> all;

    void add(std::chrono::steady_clock::duration time) {
        all.push_back(std::chrono::duration<double, std::micro>(time).count());
    }
    [[nodiscard]] double quantile(double part) {
        require(!all.empty(), "nothing was measured");
        std::sort(all.begin(), all.end());
        return all[static_cast<size_t>(part * static_cast<double>(all.size() - 1))];
    }
};

/// Full traffic on all lanes: each has frames whenever it is polled.
class FullTraffic {
  public:
    FullTraffic(std::vector<Fleet::Lane>& lanes, const Frame& frame, rte_mempool* pool)
        : lanes_(lanes), frame_(frame), pool_(pool), left_(lanes.size()) {
        for (size_t lane = 0; lane < lanes.size(); ++lane)
            send(lane);
    }
    /// One burst on each lane. Returns the frames taken.
    uint64_t round() noexcept {
        uint64_t frames = 0;
        for (size_t lane = 0; lane < lanes_.size(); ++lane) {
            const uint16_t count = take(lanes_[lane], pool_);
            frames += count;
            left_[lane] = static_cast<uint16_t>(left_[lane] - count);
            if (left_[lane] == 0) {
                lanes_[lane].driver->reclaim(frame_, kTrafficWindow);
                send(lane);
            }
        }
        return frames;
    }
    /// Takes what is left, so that the rings are empty.
    void finish() noexcept {
        for (size_t lane = 0; lane < lanes_.size(); ++lane) {
            while (left_[lane] != 0)
                left_[lane] = static_cast<uint16_t>(left_[lane] - take(lanes_[lane], pool_));
            lanes_[lane].driver->reclaim(frame_, kTrafficWindow);
        }
    }

  private:
    void send(size_t lane) noexcept {
        lanes_[lane].driver->send(frame_, kTrafficWindow, 0);
        left_[lane] = kTrafficWindow;
    }

    std::vector<Fleet::Lane>& lanes_;
    const Frame& frame_;
    rte_mempool* pool_;
    std::vector<uint16_t> left_;
};

}  // namespace vduse::bench
