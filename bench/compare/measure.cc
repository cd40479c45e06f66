// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/measure.h"

#include <rte_cycles.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace vduse::bench {
namespace {

/// Calls `burst(first, count)` until the window is done. Returns cycles per frame.
template <class Burst>
double drain(uint16_t window, uint16_t most, Burst burst) {
    unsigned idle = 0;
    const uint64_t start = rte_rdtsc_precise();
    for (uint16_t done = 0; done < window;) {
        const uint16_t count =
            burst(done, std::min<uint16_t>(most, static_cast<uint16_t>(window - done)));
        done = static_cast<uint16_t>(done + count);
        if (count == 0 && ++idle == 1000)
            give_up("a device does not take what is there");
    }
    return static_cast<double>(rte_rdtsc_precise() - start) / window;
}

/// Makes a frame in as many mbufs as it needs.
rte_mbuf* make(rte_mempool* pool, const Frame& frame, uint64_t number) {
    rte_mbuf* const head = rte_pktmbuf_alloc(pool);
    for (rte_mbuf* mbuf = head; mbuf != nullptr;) {
        const uint32_t done = head->pkt_len;
        const uint32_t run = std::min<uint32_t>(frame.bytes() - done, RTE_MBUF_DEFAULT_DATAROOM);
        frame.write(rte_pktmbuf_mtod(mbuf, std::byte*), done, run, number);
        mbuf->data_len = static_cast<uint16_t>(run);
        head->pkt_len += run;
        if (head->pkt_len == frame.bytes()) {
            frame.describe(*head);
            return head;
        }
        mbuf->next = rte_pktmbuf_alloc(pool);
        ++head->nb_segs;
        mbuf = mbuf->next;
    }
    give_up("no mbufs for the frames");
}

bool matches(const rte_mbuf& received, const Frame& frame, uint64_t number, bool whole) {
    uint32_t from = 0;
    for (const rte_mbuf* mbuf = &received; mbuf != nullptr; mbuf = mbuf->next) {
        const auto* const bytes = rte_pktmbuf_mtod(mbuf, const std::byte*);
        if (!frame.matches(bytes, from, mbuf->data_len, number, whole))
            return false;
        from += mbuf->data_len;
    }
    return from == frame.bytes() && received.pkt_len == frame.bytes();
}

}  // namespace

double Bench::round(Side& side, unsigned windows) {
    if (case_.busy)
        return round_busy(side, windows);
    std::vector<double> costs;
    costs.reserve(windows);
    window(side, true);
    for (unsigned i = 0; i < windows; ++i)
        costs.push_back(window(side, false));
    return Cost::of(std::move(costs)).median;
}

double Bench::window(Side& side, bool whole) {
    driver([&] { give(side, number_); });
    const double cost = bursts(side, whole, [] {});
    driver([&] { take_back(side, number_, whole); });
    number_ += window_;
    return cost;
}

double Bench::round_busy(Side& side, unsigned windows) {
    std::vector<double> costs;
    costs.reserve(windows);
    driver([&] { give(side, number_); });
    for (unsigned i = 0; i <= windows; ++i, number_ += window_) {
        auto work = [&] {
            if (i != 0)
                take_back(side, number_ - window_, i == 1);
            if (i != windows)
                give(side, number_ + window_);
        };
        const double cost = bursts(side, i == 0, [&] { other_->start(work); });
        other_->finish();
        if (i != 0)
            costs.push_back(cost);
    }
    driver([&] { take_back(side, number_ - window_, false); });
    return Cost::of(std::move(costs)).median;
}

void Bench::give(Side& side, uint64_t number) const {
    if (case_.to_guest)
        side.to_guest_driver.offer(frame_, window_);
    else
        side.from_guest_driver.send(frame_, window_, number);
}

void Bench::take_back(Side& side, uint64_t number, bool whole) const {
    if (case_.to_guest)
        side.to_guest_driver.receive(frame_, window_, number, whole);
    else
        side.from_guest_driver.reclaim(frame_, window_);
}

template <class Start>
double Bench::from_guest(Side& side, bool whole, Start start) {
    std::array<rte_mbuf*, kMostFrames> room;
    const auto frames = std::span(room).first(window_);
    start();
    const double cost = drain(window_, case_.burst, [&](uint16_t first, uint16_t count) {
        return side.from_guest(pool_, frames.subspan(first, count));
    });
    for (uint64_t number = number_; const rte_mbuf* frame : frames)
        require(
            matches(*frame, frame_, number++, whole),
            "another frame came from the guest than was sent"
        );
    side.free_received(frames);
    return cost;
}

template <class Start>
double Bench::to_guest(Side& side, Start start) {
    std::array<rte_mbuf*, kMostFrames> room;
    const auto frames = std::span(room).first(window_);
    for (uint64_t number = number_; rte_mbuf * &frame : frames) {
        frame = make(pool_, frame_, number++);
        if (frame_.leaves_something())
            side.say(*frame);
    }
    start();
    const double cost = drain(window_, case_.burst, [&](uint16_t first, uint16_t count) {
        return side.to_guest(frames.subspan(first, count));
    });
    side.free_sent(frames);
    return cost;
}

}  // namespace vduse::bench
