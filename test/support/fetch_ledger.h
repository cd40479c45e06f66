// SPDX-License-Identifier: BSD-3-Clause

// The fetch ledger: records what a device operation reads from guest memory, and lets the driver
// write in between.
//
// While a FetchLedger exists, every fetch of this thread is recorded. `begin` starts an operation;
// `twice` is the number of bytes fetched more than once since. A test can run an action right after
// the n-th fetch of the operation: a race with the driver without threads. The ledger needs
// VDUSE_TEST_HOOKS.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/guest.h"

namespace vduse::test {

class FetchLedger final : public guest::AccessHook {
  public:
    FetchLedger() noexcept : previous_(std::exchange(guest::access_hook, this)) {}
    FetchLedger(const FetchLedger&) = delete;
    FetchLedger& operator=(const FetchLedger&) = delete;
    ~FetchLedger() { guest::access_hook = previous_; }

    /// Starts an operation: forgets all fetches and actions.
    void begin() noexcept {
        ranges_.clear();
        actions_.clear();
    }

    /// Runs `action` right after the `nth` fetch of the operation (the first is 1).
    void after(size_t nth, std::function<void()> action) {
        actions_.emplace_back(nth, std::move(action));
    }

    /// Fetches since `begin`.
    [[nodiscard]] size_t fetches() const noexcept { return ranges_.size(); }

    /// Bytes fetched since `begin`.
    [[nodiscard]] size_t bytes() const noexcept {
        size_t sum = 0;
        for (const Range& range : ranges_)
            sum += range.end - range.start;
        return sum;
    }

    /// Bytes that were fetched more than once since `begin`.
    [[nodiscard]] size_t twice() const {
        std::vector<Range> sorted = ranges_;
        std::sort(sorted.begin(), sorted.end(), [](const Range& a, const Range& b) {
            return a.start < b.start;
        });
        size_t again = 0;
        uintptr_t end = 0;
        for (const Range& range : sorted) {
            if (range.start < end)
                again += std::min(range.end, end) - range.start;
            end = std::max(end, range.end);
        }
        return again;
    }

    /// Whether any of [start, start + bytes) was fetched since `begin`.
    [[nodiscard]] bool touched(const void* start, size_t bytes) const noexcept {
        const auto from = reinterpret_cast<uintptr_t>(start);
        return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
            return range.start < from + bytes && from < range.end;
        });
    }

    void fetched(const void* guest, size_t bytes) noexcept override {
        const auto start = reinterpret_cast<uintptr_t>(guest);
        ranges_.push_back({start, start + bytes});
        const size_t now = ranges_.size();
        for (const auto& [nth, action] : actions_)
            if (nth == now)
                action();
    }

  private:
    struct Range {
        uintptr_t start;
        uintptr_t end;
    };

    guest::AccessHook* previous_;
    std::vector<Range> ranges_;
    std::vector<std::pair<size_t, std::function<void()>>> actions_;
};

}  // namespace vduse::test
