// SPDX-License-Identifier: BSD-3-Clause

// A second core for the driver: a thread that runs a function while the caller waits or works.
//
// If it waits, the cache lines of rings and buffers are in the other core's caches when the device
// begins, and in the device's caches when the driver continues. If it works, both cores also access
// the indexes and the ends of the rings at the same time. Either way, the measured calls find full
// bursts.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace vduse::bench {

class OtherCore {
  public:
    explicit OtherCore(int cpu);
    ~OtherCore();

    /// Runs `work` on the other core and waits until it is done.
    template <class Work>
    void run(Work& work) {
        start(work);
        finish();
    }
    /// Runs `work` on the other core until `finish` returns.
    template <class Work>
    void start(Work& work) {
        call_ = [](void* context) { (*static_cast<Work*>(context))(); };
        context_ = &work;
        hand_over();
    }
    void finish();

    /// Median time that a cache line takes to the other core and back, in TSC cycles.
    uint64_t round_trip();

  private:
    void loop(int cpu);
    void hand_over();

    void (*call_)(void*) = nullptr;  ///< nullptr: the thread ends
    void* context_ = nullptr;
    alignas(64) std::atomic<uint32_t> asked_ = 0;
    alignas(64) std::atomic<uint32_t> done_ = 0;
    std::thread thread_;
};

}  // namespace vduse::bench
