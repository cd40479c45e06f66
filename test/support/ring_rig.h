// SPDX-License-Identifier: BSD-3-Clause

// A split ring with both sides: guest memory, a mock driver, and the device's SplitRing.
//
// Each part of the ring is in its own region, which ends where the part ends. Buffers are at
// `kBuffers`. Tests may add regions and then call `reload`.
#pragma once

#include <array>
#include <span>

#include "ring/split_burst.h"
#include "support/guest_memory.h"
#include "support/mock_driver.h"

namespace vduse::test {

class RingRig {
  public:
    struct Setup {
        uint32_t size = 256;
        bool event_idx = false;
        bool indirect = true;
        uint16_t start = 0;
    };

    static constexpr memory::Iova kRing = 0x4000'0000;
    static constexpr memory::Iova kBuffers = 0x10'0000;
    static constexpr uint32_t kBufferBytes = 0x10'0000;

    RingRig() : RingRig(Setup()) {}
    explicit RingRig(const Setup& setup)
        : options{setup.event_idx, setup.indirect},
          driver(
              RingAreas::apart(memory, kRing, setup.size, setup.event_idx),
              {setup.size, setup.event_idx, setup.start}
          ) {
        memory.add_bytes(kBuffers, kBufferBytes);
        started = reload() == ring::LoadError::none && ring.restart({.avail = setup.start});
    }

    /// Loads the ring with a table of the regions that are in `memory` now.
    ring::LoadError reload() { return ring.load(memory.table(), driver.layout(), options); }

    /// How `peek` asks the ring: for any chains, or first for those that are simple.
    enum class Peeking : uint8_t { any, simple_readable, simple_writable };

    /// Peeks at up to `most` chains, which are in `chains` afterwards.
    std::span<const ring::Chain> peek(size_t most = ring::kWindow) {
        const auto wanted = std::span(chains).first(most);
        switch (peeking) {
            case Peeking::simple_readable:
                return peek_simple<memory::Access::read>(wanted);
            case Peeking::simple_writable:
                return peek_simple<memory::Access::write>(wanted);
            default:
                return wanted.first(ring.peek(wanted));
        }
    }
    /// Returns `count` chains to the driver, each with the used length `length`.
    void complete(size_t count, uint32_t length = 0) {
        std::array<uint32_t, ring::kWindow> lengths;
        lengths.fill(length);
        ring.complete(std::span<const uint32_t>(lengths).first(count));
    }

    GuestMemory memory;
    ring::Options options;
    MockDriver driver;
    ring::SplitRing ring;
    std::array<ring::Chain, ring::kWindow> chains;
    Peeking peeking = Peeking::any;
    uint16_t simple = 0;  ///< chains that the last `peek` saw by peek_simple
    bool started = false;

  private:
    template <memory::Access access>
    std::span<const ring::Chain> peek_simple(std::span<ring::Chain> wanted) {
        const auto [count, more] =
            ring.peek_simple<access>(std::span(buffers_).first(wanted.size()));
        for (size_t i = 0; i < count; ++i)
            wanted[i] = ring::Chain::of(buffers_[i], access);
        simple = count;
        return wanted.first(count + (more ? ring.peek_more(wanted.subspan(count)) : size_t{0}));
    }

    std::array<ring::Segment, ring::kWindow> buffers_;
};

}  // namespace vduse::test
