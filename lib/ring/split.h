// SPDX-License-Identifier: BSD-3-Clause

// Split virtqueue, device side.
//
// The driver owns the descriptor table and the avail ring; the device owns the used ring. All three
// are in memory that the driver can rewrite at any moment, so the rule is: copy once, check the
// copy, use the copy. A walk visits at most `size` descriptors, whatever the table contains.
//
//      avail.idx ----+                         used.idx
//                    v                            v
//   avail  [ . . . h h h . ]      used   [ d d d . . . . ]
//                ^ next_avail_                    ^ next_used_
//
// Chains are completed in avail order, by the call that peeked them. So next_avail_ is the complete
// state of a stopped queue, and the used index in guest memory holds the same value (design.md,
// "Surviving").
//
// What a hostile driver could try, and the result:
//   - an avail index more than `size` ahead, or a head outside the table: our position has become
//     meaningless. The ring is quarantined (`fault()`): it is not read again until it is reloaded;
//   - loops, bad `next`, nested or malformed indirect tables, readable after writable, lengths that
//     add up to more than 2^32 - 1: the chain is malformed and is returned with length 0;
//   - unmapped addresses: the chain waits while control looks the address up (`miss()`). If control
//     finds no mapping either (`deny()`), the chain is malformed;
//   - many or long chains at once, to delay the thread that serves the queue: a call ends after a
//     fixed number of descriptors, and the rest waits for the next call;
//   - rewriting anything meanwhile: we use our copy.
//
// Threads: one at a time. Control changes a ring only while its gate is closed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "memory/table.h"
#include "ring/chain.h"
#include "ring/layout.h"
#include "ring/position.h"
#include "vduse/limits.h"

namespace vduse::ring {

/// Size and addresses of a ring, as the driver set them.
struct Layout {
    uint32_t size = 0;
    memory::Iova desc = 0;
    memory::Iova avail = 0;
    memory::Iova used = 0;
};

struct Options {
    bool event_idx = false;
    bool indirect = false;
};

/// Why a ring was quarantined.
enum class RingFault : uint8_t { none, avail_jump, bad_head };

/// Why `load` refused a ring.
enum class LoadError : uint8_t { none, bad_size, misaligned, unmapped, overlapping };
const char* describe(LoadError error);

class SplitRing {
  public:
    /// Translates the ring's addresses with `table` and prepares to serve it. Positions are kept,
    /// see `restart`.
    LoadError load(const memory::Table* table, const Layout& layout, Options options);

    /// Sets the position of a ring that starts. The avail index is `start.avail`; the used index is
    /// read from the ring. Returns false if the two are more than `size` apart.
    bool restart(const Position& start);

    /// Sets the position of a ring that another process served. That process completed all chains
    /// that it took, so the used index in the ring gives the position. Chains that were in flight
    /// already when it `started` remain so. There are none if `started` has equal avail and used
    /// indexes.
    void resume(const Position& started = {});

    /// GET_VQ_STATE answers with the avail index.
    [[nodiscard]] Position position() const noexcept {
        return {.avail = next_avail_, .used = next_used_};
    }
    [[nodiscard]] uint32_t size() const noexcept { return size_; }

    uint16_t peek(std::span<Chain> chains) noexcept;
    template <memory::Access access>
    Simple peek_simple(std::span<Segment> buffers) noexcept;
    uint16_t peek_more(std::span<Chain> chains) noexcept;
    void complete(std::span<const uint32_t> lengths) noexcept;

    /// Whether the driver wants an interrupt for the chains completed since the last call.
    bool should_interrupt() noexcept;

    /// Tells the driver not to kick, because the queue is polled.
    void refuse_kicks() noexcept;
    /// Asks for a kick when more chains arrive; true if there are some already.
    bool request_kick() noexcept;

    /// Whether a peek now would find nothing and leave nothing to do: cheaper than a peek. The
    /// driver may make chains available at any moment.
    [[nodiscard]] bool idle() const noexcept;

    /// Chains that the driver has made available and that are not completed; 0 after a fault.
    [[nodiscard]] uint32_t waiting() const noexcept;
    /// The same from the indexes in guest memory: control may call it while another thread works on
    /// the ring.
    [[nodiscard]] uint32_t offered() const noexcept;

    [[nodiscard]] RingFault fault() const noexcept { return fault_; }

    /// The unmapped address that the next chain waits for, if any.
    [[nodiscard]] std::optional<memory::Iova> miss() const noexcept { return miss_; }
    /// There is a miss or a fault for control to handle.
    [[nodiscard]] bool needs_control() const noexcept {
        return miss_.has_value() || fault_ != RingFault::none;
    }
    /// Called by control: nothing maps `iova`. Valid until the next `load`.
    void deny(memory::Iova iova) noexcept { denied_ = iova; }

  private:
    /// Descriptors that are read in one call, except for those of the last chain. It is
    /// enough for a burst of 64 KiB frames in the smallest buffers that Linux offers, 1.5 KiB (it
    /// sends such a frame in at most 19 buffers). Without a limit, a ring of 32768 empty
    /// descriptors, offered 64 times, would block the data thread, and the other queues that it
    /// serves, for milliseconds.
    static constexpr uint32_t kDescriptorBudget = kMaxBurst * 44;
    static_assert(kDescriptorBudget >= kWindow);

    enum class Walk : uint8_t { good, malformed, waits, full };

    uint16_t begin() noexcept;
    uint16_t show(std::span<Chain> chains) noexcept;
    void fetch_heads(uint16_t count) noexcept;
    void refuse_head(size_t at) noexcept;
    uint16_t fetch_first(uint16_t count, std::span<Descriptor> first) noexcept;
    bool walk(const Descriptor& descriptor, Chain& chain) noexcept;
    bool walk_simple(const Descriptor& descriptor, Chain& chain) noexcept;
    Walk walk_direct(Descriptor descriptor, Chain& chain) noexcept;
    Walk walk_indirect(const Descriptor& table, uint32_t steps_before, Chain& chain) noexcept;
    Walk add(const Descriptor& descriptor, Chain& chain) noexcept;
    Walk fetch_indirect(memory::Iova iova, Descriptor& descriptor) noexcept;
    Walk missed(memory::Fault fault, memory::Iova iova) noexcept;

    memory::Translator translator_;
    const std::byte* desc_ = nullptr;
    const std::byte* avail_ = nullptr;
    std::byte* used_ = nullptr;
    uint32_t size_ = 0;
    uint16_t mask_ = 0;
    uint16_t next_avail_ = 0;
    uint16_t next_used_ = 0;
    uint16_t signalled_used_ = 0;  ///< next_used_ at the last call of should_interrupt()
    bool interrupt_owed_ = false;  ///< the first completion after a start always interrupts
    Options options_;
    RingFault fault_ = RingFault::none;
    std::optional<memory::Iova> miss_;
    std::optional<memory::Iova> denied_;
    // The window: peeked chains. Completed ones leave it at the next `peek_more`.
    std::array<uint16_t, kWindow> heads_{};
    uint16_t completed_ = 0;
    uint16_t peeked_ = 0;
    uint16_t fetched_ = 0;  ///< heads in heads_: those of peeked chains, and perhaps more
    uint16_t pending_ = 0;  ///< chains from heads_[0] on that may be peeked, set by `begin`
    bool has_held_ = false;
    Descriptor held_{};  ///< the first descriptor of the next chain, if peek_simple fetched it
    // Since the call began:
    std::vector<Segment> segments_;
    uint32_t segments_in_use_ = 0;
    uint32_t descriptors_ = 0;
};

static_assert(DeviceRing<SplitRing>);

}  // namespace vduse::ring
