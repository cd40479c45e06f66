// SPDX-License-Identifier: BSD-3-Clause

// The driver side of a split virtqueue, in memory shared with the device: honest and hostile.
//
//   MockDriver driver(areas, {.size = 256});
//   driver.offer({{kFrame, 60, false}});       // one chain, not published yet
//   driver.publish();                          // writes avail.idx: the device sees the chain
//   ... the device works ...
//   while (auto used = driver.take_used()) ...
//
// The honest half allocates descriptors and decides about notifications as the specification says
// (virtio 1.3, 2.7). It keeps its own copy of how descriptors are chained, so that descriptors
// written by a hostile test do not confuse it. It knows which chains are in flight, and counts
// everything else that the device returns (`strays`). The hostile half writes any descriptor, head
// or index that the test gives it. Indices are free-running 16-bit numbers and may start anywhere.
// The class needs no EAL and does not allocate after construction: unit tests, fuzzers and
// benchmarks share it.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "ring/layout.h"
#include "ring/notify.h"
#include "ring/split_burst.h"
#include "support/guest_memory.h"

namespace vduse::test {

/// The buffer of one descriptor: a run of IOVAs.
struct Buffer {
    memory::Iova iova = 0;
    uint32_t len = 0;
    bool writable = false;
};

/// The three parts of a ring. Each is contiguous in host memory.
struct RingAreas {
    AddressPair desc;
    AddressPair avail;
    AddressPair used;

    /// All three one after another at `base`, as legacy drivers (before virtio 1) must place them.
    /// They take `bytes(size)` bytes.
    static RingAreas behind(AddressPair base, uint32_t size) {
        const uint32_t avail = ring::descriptor_bytes(size);
        const uint32_t used = (avail + ring::avail_bytes(size, true) + 3) / 4 * 4;
        return {base, {base.host + avail, base.iova + avail}, {base.host + used, base.iova + used}};
    }
    static constexpr uint32_t bytes(uint32_t size) {
        const uint32_t used = ring::descriptor_bytes(size) + ring::avail_bytes(size, true);
        return ((used + 3) / 4 * 4 + ring::used_bytes(size, true) + 15) / 16 * 16;
    }

    /// Each part in its own region, which ends where the part ends: one byte further traps. The
    /// first two are read-only for the device; the third is read-write.
    static RingAreas apart(
        GuestMemory& memory, memory::Iova base, uint32_t size, bool event_idx = false
    ) {
        constexpr memory::Iova kStep = 0x100000;
        return {
            memory.add_bytes(base, ring::descriptor_bytes(size), kRead),
            memory.add_bytes(base + kStep, ring::avail_bytes(size, event_idx), kRead),
            // The device reads the used index once, at the start.
            memory.add_bytes(base + 2 * kStep, ring::used_bytes(size, event_idx), kReadWrite)};
    }
};

class MockDriver {
  public:
    struct Options {
        uint32_t size = 256;
        bool event_idx = false;
        uint16_t start = 0;  ///< initial avail and used index
    };

    MockDriver(const RingAreas& areas, const Options& options)
        : areas_(areas),
          size_(options.size),
          event_idx_(options.event_idx),
          avail_(options.start),
          published_(options.start),
          next_used_(options.start),
          next_(options.size),
          in_flight_(options.size) {
        for (uint32_t i = 0; i < size_; ++i)
            next_[i] = static_cast<uint16_t>(i + 1);
        write_avail_idx(options.start);
        write_used_idx(options.start);
    }

    [[nodiscard]] ring::Layout layout() const noexcept {
        return {size_, areas_.desc.iova, areas_.avail.iova, areas_.used.iova};
    }
    [[nodiscard]] const RingAreas& areas() const noexcept { return areas_; }
    [[nodiscard]] uint32_t size() const noexcept { return size_; }
    /// Number of free descriptors.
    [[nodiscard]] uint32_t free() const noexcept { return size_ - in_use_; }
    /// Number of chains offered and not returned yet.
    [[nodiscard]] uint32_t in_flight() const noexcept { return chains_; }
    /// Errors seen in the used ring so far: elements that name no chain in flight, and used indexes
    /// further ahead than the number of chains in flight.
    [[nodiscard]] unsigned strays() const noexcept { return strays_; }

    // ---- honest

    /// Makes a chain of `buffers` and puts it into the avail ring; see `publish`. Returns its head,
    /// or nothing if there are too few free descriptors.
    std::optional<uint16_t> offer(std::span<const Buffer> buffers) noexcept {
        if (buffers.empty() || buffers.size() > free())
            return std::nullopt;
        const uint16_t head = free_head_;
        uint16_t at = head;
        for (size_t i = 0; i < buffers.size(); ++i) {
            const bool last = i + 1 == buffers.size();
            write_descriptor(at, descriptor(buffers[i], last ? kEnd : next_[at]));
            if (!last)
                at = next_[at];
        }
        take_free(head, at, static_cast<uint32_t>(buffers.size()));
        return head;
    }
    std::optional<uint16_t> offer(std::initializer_list<Buffer> buffers) noexcept {
        return offer(std::span(buffers.begin(), buffers.size()));
    }

    /// The same with an indirect table, which is written to `table` (16 bytes per buffer).
    std::optional<uint16_t> offer_indirect(
        std::span<const Buffer> buffers, AddressPair table
    ) noexcept {
        if (free() == 0)
            return std::nullopt;
        for (size_t i = 0; i < buffers.size(); ++i) {
            const auto next = static_cast<uint16_t>(i + 1);
            const auto entry = descriptor(buffers[i], i + 1 == buffers.size() ? kEnd : next);
            std::memcpy(table.host + i * sizeof entry, &entry, sizeof entry);
        }
        const uint16_t head = free_head_;
        const auto bytes = static_cast<uint32_t>(buffers.size() * sizeof(ring::Descriptor));
        write_descriptor(head, {table.iova, bytes, ring::kDescIndirect, 0});
        take_free(head, head, 1);
        return head;
    }
    std::optional<uint16_t> offer_indirect(
        std::initializer_list<Buffer> buffers, AddressPair table
    ) noexcept {
        return offer_indirect(std::span(buffers.begin(), buffers.size()), table);
    }

    /// Makes all offered chains visible to the device. Returns whether the device wants a kick.
    bool publish() noexcept {
        const uint16_t before = std::exchange(published_, avail_);
        write_avail_idx(avail_);
        ring::full_fence();
        if (before == avail_)
            return false;
        return event_idx_ ? ring::event_passed<uint16_t>(avail_event(), avail_, before)
                          : (used_flags() & ring::kUsedNoNotify) == 0;
    }

    /// Takes the next used element and frees the descriptors of its chain.
    std::optional<ring::UsedElement> take_used() noexcept {
        const auto ahead = static_cast<uint16_t>(used_idx() - next_used_);
        if (ahead == 0)
            return std::nullopt;
        if (ahead > chains_)
            ++strays_;
        const ring::UsedElement element = used_at(next_used_++);
        release(element.id);
        return element;
    }

    /// Enables or suppresses interrupts. With the event index: sets used_event to the next index,
    /// or to the one before, which the device passes only after a wrap.
    void want_interrupts(bool wanted) noexcept {
        if (event_idx_)
            set_used_event(static_cast<uint16_t>(wanted ? next_used_ : next_used_ - 1));
        else
            store16(areas_.avail.host + ring::kFlagsOffset, wanted ? 0 : ring::kAvailNoInterrupt);
    }
    /// Requests an interrupt once the used index has passed `index`.
    void set_used_event(uint16_t index) noexcept {
        store16(areas_.avail.host + ring::kRingOffset + 2 * size_t{size_}, index);
    }

    [[nodiscard]] uint16_t avail_idx() const noexcept { return published_; }
    [[nodiscard]] uint16_t used_idx() const noexcept {
        return load16(areas_.used.host + ring::kIdxOffset);
    }
    [[nodiscard]] uint16_t used_flags() const noexcept {
        return load16(areas_.used.host + ring::kFlagsOffset);
    }
    [[nodiscard]] uint16_t avail_event() const noexcept {
        return load16(areas_.used.host + ring::kRingOffset + 8 * size_t{size_});
    }
    /// The used ring's element at free-running index `index`.
    [[nodiscard]] ring::UsedElement used_at(uint16_t index) const noexcept {
        ring::UsedElement element;
        std::memcpy(&element, used_slot(index), sizeof element);
        return element;
    }

    // ---- hostile: writes what it is given and keeps no record

    void write_descriptor(uint16_t index, const ring::Descriptor& descriptor) noexcept {
        std::memcpy(descriptor_at(index), &descriptor, sizeof descriptor);
    }
    [[nodiscard]] ring::Descriptor read_descriptor(uint16_t index) const noexcept {
        ring::Descriptor descriptor;
        std::memcpy(&descriptor, descriptor_at(index), sizeof descriptor);
        return descriptor;
    }
    [[nodiscard]] std::byte* descriptor_at(uint16_t index) const noexcept {
        return areas_.desc.host + sizeof(ring::Descriptor) * index;
    }
    /// Writes the avail ring's entry at free-running index `index`.
    void write_avail(uint16_t index, uint16_t head) noexcept {
        store16(areas_.avail.host + ring::kRingOffset + 2 * (index & (size_ - 1)), head);
    }
    void write_avail_idx(uint16_t index) noexcept {
        std::atomic_ref(*word(areas_.avail.host + ring::kIdxOffset))
            .store(index, std::memory_order_release);
    }
    void write_used_idx(uint16_t index) noexcept {
        store16(areas_.used.host + ring::kIdxOffset, index);
    }
    /// Puts `head` into the avail ring, whatever it is, and publishes it.
    void push_head(uint16_t head) noexcept {
        write_avail(avail_++, head);
        published_ = avail_;
        write_avail_idx(avail_);
    }

  private:
    static constexpr uint32_t kEnd = 0x10000;  ///< no next descriptor

    static ring::Descriptor descriptor(const Buffer& buffer, uint32_t next) noexcept {
        const auto flags = static_cast<uint16_t>(
            (buffer.writable ? ring::kDescWrite : 0) | (next == kEnd ? 0 : ring::kDescNext)
        );
        return {buffer.iova, buffer.len, flags, static_cast<uint16_t>(next == kEnd ? 0 : next)};
    }
    static uint16_t* word(std::byte* at) noexcept { return reinterpret_cast<uint16_t*>(at); }
    static uint16_t load16(std::byte* at) noexcept {
        return std::atomic_ref(*word(at)).load(std::memory_order_acquire);
    }
    static void store16(std::byte* at, uint16_t value) noexcept {
        std::atomic_ref(*word(at)).store(value, std::memory_order_relaxed);
    }
    [[nodiscard]] std::byte* used_slot(uint16_t index) const noexcept {
        return areas_.used.host + ring::kRingOffset +
               sizeof(ring::UsedElement) * (index & (size_ - 1));
    }

    /// Takes the chain from `head` to `tail` off the free list and puts it into the avail ring.
    void take_free(uint16_t head, uint16_t tail, uint32_t count) noexcept {
        free_head_ = next_[tail];
        next_[tail] = kNone;
        in_use_ += count;
        in_flight_[head] = 1;
        ++chains_;
        write_avail(avail_++, head);
    }
    /// Puts the chain at `head` back on the free list. Counts a stray if no chain in flight starts
    /// there.
    void release(uint32_t head) noexcept {
        if (head >= size_ || in_flight_[head] == 0) {
            ++strays_;
            return;
        }
        in_flight_[head] = 0;
        --chains_;
        auto tail = static_cast<uint16_t>(head);
        for (--in_use_; next_[tail] != kNone; --in_use_)
            tail = next_[tail];
        next_[tail] = free_head_;
        free_head_ = static_cast<uint16_t>(head);
    }

    static constexpr uint16_t kNone = 0xffff;  ///< ends a chain that is in use

    RingAreas areas_;
    uint32_t size_;
    bool event_idx_;
    uint16_t avail_;      ///< index of the next chain
    uint16_t published_;  ///< the avail index that the device can see
    uint16_t next_used_;
    uint16_t free_head_ = 0;
    uint32_t in_use_ = 0;  ///< descriptors
    uint32_t chains_ = 0;  ///< in flight
    unsigned strays_ = 0;
    std::vector<uint16_t> next_;      ///< private copy of the chains, and the free list
    std::vector<uint8_t> in_flight_;  ///< per descriptor: whether a chain in flight starts there
};

}  // namespace vduse::test
