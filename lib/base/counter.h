// SPDX-License-Identifier: BSD-3-Clause

// A counter with one writer and any number of readers.
#pragma once

#include <atomic>
#include <cstdint>

namespace vduse {

class Counter {
  public:
    void add(uint64_t n) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void subtract(uint64_t n) noexcept { add(-n); }
    [[nodiscard]] uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_ = 0;
};

}  // namespace vduse
