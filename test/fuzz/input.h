// SPDX-License-Identifier: BSD-3-Clause

// Turns the fuzzer's bytes into decisions, and has the assertion of targets.
//
// Decisions are taken from the front, one or a few bytes each. When the bytes are used up, every
// decision is 0, which by convention is the harmless one. So a shorter input does less, and a
// mutation of a byte by libFuzzer changes one decision and not the meaning of all that follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <span>

namespace vduse::test {

/// Checks an invariant of a target. libFuzzer keeps the input that breaks it.
inline void check(bool holds, const char* invariant) {
    if (holds)
        return;
    std::fprintf(stderr, "INVARIANT BROKEN: %s\n", invariant);
    std::abort();
}

class Input {
  public:
    Input(const uint8_t* data, size_t bytes) : left_(data, bytes) {}

    [[nodiscard]] bool empty() const { return left_.empty(); }
    [[nodiscard]] std::span<const uint8_t> take(size_t most) {
        const auto taken = left_.first(most < left_.size() ? most : left_.size());
        left_ = left_.subspan(taken.size());
        return taken;
    }
    template <class T>
    T number() {
        T value = 0;
        const auto bytes = take(sizeof value);
        if (!bytes.empty())
            std::memcpy(&value, bytes.data(), bytes.size());
        return value;
    }
    uint8_t byte() { return number<uint8_t>(); }
    /// A number from 0 to `end` - 1. `end` is at most 256.
    uint32_t below(uint32_t end) { return byte() % end; }
    /// True for half of all bytes.
    bool flag() { return (byte() & 1) != 0; }
    template <class T>
    T pick(std::initializer_list<T> choices) {
        return choices.begin()[below(static_cast<uint32_t>(choices.size()))];
    }

  private:
    std::span<const uint8_t> left_;
};

}  // namespace vduse::test
