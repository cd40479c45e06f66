// SPDX-License-Identifier: BSD-3-Clause

#include "app/datapath/port_output.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "vduse/offload.h"

namespace vduse::app {
namespace {

constexpr uint16_t kBurst = 32;

/// Collects frames for a queue and sends them in bursts.
class Output {
  public:
    Output(Endpoint& port, uint16_t queue) noexcept : port_(port), queue_(queue) {}

    /// Where the next frames go; there is room for at least one.
    [[nodiscard]] std::span<rte_mbuf*> room() noexcept {
        return std::span(frames_).subspan(count_);
    }
    void added(uint16_t count) noexcept {
        count_ = static_cast<uint16_t>(count_ + count);
        if (count_ == frames_.size())
            flush();
    }
    void flush() noexcept {
        const auto frames = std::span(frames_).first(count_);
        const uint16_t taken = rte_eth_tx_burst(port_.port, queue_, frames.data(), count_);
        drop(port_, queue_, frames.subspan(taken));
        count_ = 0;
    }

  private:
    Endpoint& port_;
    uint16_t queue_;
    std::array<rte_mbuf*, kBurst> frames_;
    uint16_t count_ = 0;
};

/// Finishes `frame` in software.
void complete(Endpoint& port, uint16_t queue, rte_mbuf* frame, Output& output) noexcept {
    Completion completion;
    if (completion.begin(frame, Offloads())) {
        port.dropped[queue].add(1);
        return;
    }
    port.finished[queue].add(1);
    while (completion.busy()) {
        const uint16_t made = completion.next(output.room());
        if (made == 0) {
            port.dropped[queue].add(completion.abandon());
            return;
        }
        output.added(made);
    }
}

/// Whether the port finishes `frame`. If so, sets the tx offload flags of the mbuf.
bool leave_to_port(Endpoint& port, uint16_t queue, rte_mbuf*& frame) noexcept {
    Unfinished what;
    // The driver writes into the headers, so nobody else may hold the mbuf.
    if (!port.offloads.csum || rte_mbuf_refcnt_read(frame) != 1 || !RTE_MBUF_DIRECT(frame) ||
        read_unfinished(*frame, what) || !what.any() ||
        (what.segment != 0 && !what.large_for(port.offloads)))
        return false;
    what.ip_csum = port.ip_csum && what.ipv4 && what.segment != 0;
    ask(*frame, what);
    // A frame that the driver cannot handle is finished in software.
    if (rte_eth_tx_prepare(port.port, queue, &frame, 1) != 1)
        return false;
    port.offloaded[queue].add(1);
    return true;
}

}  // namespace

void drop(Endpoint& to, uint16_t queue, std::span<rte_mbuf*> frames) noexcept {
    if (frames.empty())
        return;
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    to.dropped[queue].add(frames.size());
}

void send_to_port(Endpoint& port, uint16_t queue, std::span<rte_mbuf*> frames) noexcept {
    const auto unfinished = [](const rte_mbuf* frame) { return may_be_unfinished(*frame); };
    if (std::none_of(frames.begin(), frames.end(), unfinished)) {
        const auto count = static_cast<uint16_t>(frames.size());
        const uint16_t taken = rte_eth_tx_burst(port.port, queue, frames.data(), count);
        return drop(port, queue, frames.subspan(taken));
    }
    Output output(port, queue);
    for (rte_mbuf*& frame : frames) {
        if (may_be_unfinished(*frame) && !leave_to_port(port, queue, frame)) {
            complete(port, queue, frame, output);
            continue;
        }
        output.room()[0] = frame;
        output.added(1);
    }
    output.flush();
}

}  // namespace vduse::app
