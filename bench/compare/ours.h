// Our side: a real Device, attached through the fake kernel, so that a burst pays for all that it
// pays in life: gate, ring, translation, counters, the decision to interrupt.
#pragma once

#include <memory>

#include "bench/compare/side.h"
#include "support/fake_kernel.h"
#include "vduse/device.h"

namespace vduse::bench {

class Ours final : public Side {
  public:
    Ours(const Ram& ram, Place rings);
    uint16_t from_guest(rte_mempool* pool, std::span<rte_mbuf*> frames) noexcept override {
        return device_->from_guest(0, pool, frames);
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        return device_->to_guest(0, frames);
    }
    void check() override;

  private:
    test::FakeKernel kernel_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Device> device_;
};

}  // namespace vduse::bench
