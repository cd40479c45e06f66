// SPDX-License-Identifier: BSD-3-Clause

// A second core for the driver: a thread that runs what it is given and is waited for.
//
// So the rings' and the buffers' cache lines are in the other core's caches when the device begins,
// and the device's in the way of the driver afterwards, while the measured calls always find full
// bursts. What is not seen that way is the cost of both touching a line at the same moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace vduse::bench {

class OtherCore {
  public:
    explicit OtherCore(int cpu);
    ~OtherCore();

    /// Runs `work` on the other core and waits for its end.
    template <class Work>
    void run(Work& work) {
        call_ = [](void* context) { (*static_cast<Work*>(context))(); };
        context_ = &work;
        hand_over();
    }

    /// Median of the time that a cache line takes to the other core and back, in TSC cycles.
    uint64_t round_trip();

  private:
    void loop(int cpu);
    void hand_over();

    void (*call_)(void*) = nullptr;  ///< nullptr: the end
    void* context_ = nullptr;
    alignas(64) std::atomic<uint32_t> asked_ = 0;
    alignas(64) std::atomic<uint32_t> done_ = 0;
    std::thread thread_;
};

}  // namespace vduse::bench
