// Our side: a real Device, attached through the fake kernel, so that a burst pays for all that it
// pays in life: gate, ring, translation, counters, the decision to interrupt.
#pragma once

#include <memory>

#include <optional>
#include "bench/compare/side.h"

#include "support/fake_kernel.h"
#include "vduse/device.h"

namespace vduse::bench {

class Ours final : public Side {
  public:
    Ours(const Ram& ram, AddressPair rings);
    uint16_t from_guest(rte_mempool* pool, std::span<rte_mbuf*> frames) noexcept override {
        return pair_->from_guest(pool, frames);
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        return pair_->to_guest(frames);
    }
    void check() override;

  private:
    test::FakeKernel kernel_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Device> device_;
    std::optional<QueuePair> pair_;
};

}  // namespace vduse::bench
