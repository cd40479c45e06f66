// SPDX-License-Identifier: BSD-3-Clause

// Split virtqueue, device side.
//
// The driver owns the descriptor table and the avail ring; we own the used ring. All three live in
// memory that the driver can rewrite at any moment, so the rule is: copy once, check the copy, use
// the copy. A walk visits at most `size` descriptors, whatever the table says.
//
//      avail.idx ----+                         used.idx
//                    v                            v
//   avail  [ . . . h h h . ]      used   [ d d d . . . . ]
//                ^ next_avail_                    ^ next_used_
//
// Chains are completed in the order in which they were made available, by the call that peeked
// them. So next_avail_ is all there is to know of a stopped queue, and the used index in guest
// memory says the same (design.md, "Surviving").
//
// What a hostile driver could try, and what becomes of it:
//   - an avail index more than `size` ahead, or a head outside the table: our position means
//   nothing
//     any more; the ring is quarantined (`fault()`), and nothing of it is read until it is loaded
//     again;
//   - loops, bad `next`, nested or odd indirect tables, readable after writable, lengths that add
//   up to
//     more than 2^32: the chain is malformed and goes back with length 0;
//   - addresses that nothing maps: the chain waits while control looks (`miss()`); if control finds
//     nothing either (`deny()`), it is malformed;
//   - many chains or long ones at once, to hold up the thread that serves it: a call ends after so
//     many descriptors, and the rest waits for the next;
//   - rewriting any of it meanwhile: we have our copy.
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

/// Where a ring is, as the driver gave it: three IOVAs.
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
    /// Finds the ring through `table` and prepares for it. Positions are kept: see `restart`.
    LoadError load(const memory::Table* table, const Layout& layout, Options options);

    /// A ring that starts: the avail index as the driver's side gives it; the used index is read
    /// from the ring. false: the driver's used index is not one that can belong to it.
    bool restart(const Position& start);

    /// A ring that another process served: all chains that it took are in the used ring, whose
    /// index says how many. What it had inherited in flight when it `started` stays that; a
    /// driver's side that names its used index at the start leaves nothing of the kind.
    void resume(const Position& started = {});

    /// The next avail index that we will look at is what GET_VQ_STATE answers.
    [[nodiscard]] Position position() const noexcept {
        return {.avail = next_avail_, .used = next_used_};
    }
    [[nodiscard]] uint32_t size() const noexcept { return size_; }

    uint16_t peek(std::span<Chain> chains) noexcept;
    uint16_t peek_more(std::span<Chain> chains) noexcept;
    void complete(std::span<const uint32_t> lengths) noexcept;

    /// Whether the driver wants an interrupt for what was completed since this was last asked.
    bool should_interrupt() noexcept;

    /// Tells the driver that we poll: it need not kick.
    void refuse_kicks() noexcept;
    /// Asks for a kick when more arrives; true when more has arrived already.
    bool request_kick() noexcept;

    /// Chains that the driver has published and that were not completed yet; none after a fault.
    [[nodiscard]] uint32_t waiting() const noexcept;
    /// The same without the thread inside: control may ask while another one works on the ring.
    [[nodiscard]] uint32_t offered() const noexcept;

    [[nodiscard]] RingFault fault() const noexcept { return fault_; }

    /// The address that the next chain waits for, if it waits.
    [[nodiscard]] std::optional<memory::Iova> miss() const noexcept { return miss_; }
    /// One of the two is there: control must look.
    [[nodiscard]] bool needs_control() const noexcept {
        return miss_.has_value() || fault_ != RingFault::none;
    }
    /// Control has looked: nothing maps `iova`. Forgotten by the next `load`.
    void deny(memory::Iova iova) noexcept { denied_ = iova; }

  private:
    /// Descriptors that are read from one `peek` to the next, but for those of the last chain: what
    /// a burst of frames of 64 KiB needs in the least buffers that Linux offers, 1.5 KiB (it sends
    /// them in 19 at most). A ring of 32768 empty descriptors, offered 64 times, would hold the
    /// data thread for milliseconds, and with it the other queues that the thread serves.
    static constexpr uint32_t kDescriptorBudget = kMaxBurst * 44;
    static_assert(kDescriptorBudget >= kWindow);

    enum class Walk : uint8_t { good, malformed, waits, full };

    uint16_t show(std::span<Chain> chains) noexcept;
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
    uint16_t signalled_used_ = 0;  ///< next_used_ when should_interrupt() was last asked
    bool interrupt_owed_ = false;  ///< the first completion after a start always interrupts
    Options options_;
    RingFault fault_ = RingFault::none;
    std::optional<memory::Iova> miss_;
    std::optional<memory::Iova> denied_;
    // The window: chains that were peeked; those that were completed leave it when more are.
    std::array<uint16_t, kWindow> heads_{};
    uint16_t completed_ = 0;
    uint16_t peeked_ = 0;
    uint16_t pending_ = 0;  ///< that may be peeked in all, as the last `peek` found it
    // Since the last `peek`:
    std::vector<Segment> segments_;
    uint32_t segments_in_use_ = 0;
    uint32_t descriptors_ = 0;
};

static_assert(DeviceRing<SplitRing>);

}  // namespace vduse::ring
