#include "bench/compare/measure.h"

#include <rte_cycles.h>

#include <algorithm>
#include <array>
#include <vector>

namespace vduse::bench {
namespace {

/// Calls `burst(first, count)` until all of the window is through; cycles per frame.
template <class Burst>
double drain(uint16_t most, Burst burst) {
    unsigned idle = 0;
    const uint64_t start = rte_rdtsc_precise();
    for (uint16_t done = 0; done < kWindow;) {
        const uint16_t count = burst(done, std::min<uint16_t>(most, kWindow - done));
        done = static_cast<uint16_t>(done + count);
        if (count == 0 && ++idle == 1000)
            give_up("a device does not take what is there");
    }
    return static_cast<double>(rte_rdtsc_precise() - start) / kWindow;
}

}  // namespace

double Bench::round(Side& side, unsigned windows) {
    std::vector<double> costs;
    costs.reserve(windows);
    window(side, true);
    for (unsigned i = 0; i < windows; ++i)
        costs.push_back(window(side, false));
    return Cost::of(std::move(costs)).median;
}

double Bench::window(Side& side, bool whole) {
    const double cost = case_.to_guest ? to_guest(side, whole) : from_guest(side, whole);
    number_ += kWindow;
    return cost;
}

double Bench::from_guest(Side& side, bool whole) {
    driver([&] { side.from_guest_driver.send(frame_, kWindow, number_); });
    std::array<rte_mbuf*, kWindow> frames;
    const double cost = drain(case_.burst, [&](uint16_t first, uint16_t count) {
        return side.from_guest(pool_, std::span(frames).subspan(first, count));
    });
    for (uint64_t number = number_; const rte_mbuf* frame : frames)
        require(
            frame->pkt_len == frame_.bytes() && frame->data_len == frame_.bytes() &&
                frame_.matches(rte_pktmbuf_mtod(frame, const std::byte*), number++, whole),
            "another frame came from the guest than was sent"
        );
    side.free_received(frames);
    driver([&] { side.from_guest_driver.reclaim(kWindow); });
    return cost;
}

double Bench::to_guest(Side& side, bool whole) {
    driver([&] { side.to_guest_driver.offer(kWindow); });
    std::array<rte_mbuf*, kWindow> frames;
    require(rte_pktmbuf_alloc_bulk(pool_, frames.data(), kWindow) == 0, "no mbufs for the frames");
    for (uint64_t number = number_; rte_mbuf * frame : frames) {
        frame->pkt_len = frame_.bytes();
        frame->data_len = static_cast<uint16_t>(frame_.bytes());
        frame_.write(rte_pktmbuf_mtod(frame, std::byte*), number++);
    }
    const double cost = drain(case_.burst, [&](uint16_t first, uint16_t count) {
        return side.to_guest(std::span(frames).subspan(first, count));
    });
    side.free_sent(frames);
    driver([&] { side.to_guest_driver.receive(frame_, kWindow, number_, whole); });
    return cost;
}

}  // namespace vduse::bench
