// SPDX-License-Identifier: BSD-3-Clause

// Our side: a real Device, attached through the fake kernel. So a burst has all the costs of normal
// operation: gate, ring, translation, counters, the decision to interrupt.
#pragma once

#include <memory>
#include <optional>

#include "bench/compare/side.h"
#include "support/fake_kernel.h"
#include "vduse/device.h"

namespace vduse::bench {

class Ours final : public Side {
  public:
    Ours(const Ram& ram, AddressPair rings, bool offloads);
    uint16_t from_guest(rte_mempool* pool, std::span<rte_mbuf*> frames) noexcept override {
        return pair_->from_guest(pool, frames);
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        return pair_->to_guest(frames);
    }
    /// Sets the flags of a frame that another of our devices received.
    void say(rte_mbuf& frame) noexcept override {
        frame.ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
        frame.ol_flags |= frame.tso_segsz != 0 ? RTE_MBUF_F_RX_LRO : uint64_t{0};
    }
    void check() override;

  private:
    test::FakeKernel kernel_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Device> device_;
    std::optional<QueuePair> pair_;
};

}  // namespace vduse::bench
