// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/other_core.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_pause.h>
#include <sched.h>

#include <algorithm>
#include <vector>

namespace vduse::bench {
namespace {

/// Spins until `word` is `value`. Yields now and then, because cores may be shared.
void wait_for(const std::atomic<uint32_t>& word, uint32_t value) {
    for (uint32_t spins = 1; word.load(std::memory_order_acquire) != value; ++spins) {
        rte_pause();
        if (spins % 65536 == 0)
            ::sched_yield();
    }
}

}  // namespace

OtherCore::OtherCore(int cpu) : thread_([this, cpu] { loop(cpu); }) {
}

OtherCore::~OtherCore() {
    call_ = nullptr;
    hand_over();
    finish();
    thread_.join();
}

void OtherCore::hand_over() {
    asked_.store(asked_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void OtherCore::finish() {
    wait_for(done_, asked_.load(std::memory_order_relaxed));
}

void OtherCore::loop(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
    for (uint32_t turn = 1;; ++turn) {
        wait_for(asked_, turn);
        const auto call = call_;
        if (call != nullptr)
            call(context_);
        done_.store(turn, std::memory_order_release);
        if (call == nullptr)
            return;
    }
}

uint64_t OtherCore::round_trip() {
    constexpr uint32_t kTurns = 100;
    std::vector<uint64_t> batches(21);
    struct {
        alignas(64) std::atomic<uint32_t> ping = 0;
        alignas(64) std::atomic<uint32_t> pong = 0;
    } lines;
    const auto last = static_cast<uint32_t>(batches.size()) * kTurns;
    auto echo = [&] {
        for (uint32_t turn = 1; turn <= last; ++turn) {
            wait_for(lines.ping, turn);
            lines.pong.store(turn, std::memory_order_release);
        }
    };
    start(echo);
    uint32_t turn = 0;
    for (uint64_t& batch : batches) {
        const uint64_t start = rte_rdtsc_precise();
        for (uint32_t i = 0; i < kTurns; ++i) {
            lines.ping.store(++turn, std::memory_order_release);
            wait_for(lines.pong, turn);
        }
        batch = (rte_rdtsc_precise() - start) / kTurns;
    }
    finish();
    std::nth_element(batches.begin(), batches.begin() + 10, batches.end());
    return batches[10];
}

}  // namespace vduse::bench
