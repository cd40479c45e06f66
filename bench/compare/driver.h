// SPDX-License-Identifier: BSD-3-Clause

// The driver's side of one split ring, the same for all devices that are compared.
//
// It is fast but realistic: one buffer per descriptor, the header in front of the frame (VERSION_1
// allows that), chains in ring order, interrupts disabled. A long frame is a descriptor chain when
// it is sent, and takes several mergeable buffers when it is received. Like a real driver it writes
// descriptor, avail entry and frame each time. Every frame carries its number, so that the receiver
// detects lost, repeated and reordered frames.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bench/compare/frame.h"
#include "bench/compare/ram.h"
#include "net/header.h"
#include "ring/layout.h"
#include "ring/split_burst.h"

namespace vduse::bench {

inline constexpr uint32_t kRingSize = 256;

class Driver {
  public:
    static constexpr uint64_t kBytes = 16384;  ///< guest memory that a ring takes
    static_assert(
        ring::descriptor_bytes(kRingSize) + ring::avail_bytes(kRingSize, true) + 64 +
            ring::used_bytes(kRingSize, true) <=
        kBytes
    );

    /// A ring at `base`, page-aligned. Each part of the ring starts on a cache line of its own.
    explicit Driver(AddressPair base)
        : desc_(base),
          avail_(base.behind(ring::descriptor_bytes(kRingSize))),
          used_(avail_.behind((ring::avail_bytes(kRingSize, true) + 63) / 64 * 64)) {
        std::memset(base.host, 0, kBytes);
        store16(avail_.host + ring::kFlagsOffset, ring::kAvailNoInterrupt);
    }

    [[nodiscard]] ring::Layout layout() const noexcept {
        return {kRingSize, desc_.iova, avail_.iova, used_.iova};
    }
    [[nodiscard]] std::byte* used() const noexcept { return used_.host; }
    /// Sets the buffers, one for each descriptor. The ring must be empty.
    void use(std::vector<AddressPair> buffers) { buffers_ = std::move(buffers); }
    /// The buffer of descriptor `index`, counted from the start.
    [[nodiscard]] const AddressPair& buffer(uint16_t index) const noexcept {
        return buffers_[index & kMask];
    }

    /// Sends `count` frames, numbered from `number`.
    void send(const Frame& frame, uint16_t count, uint64_t number) noexcept {
        const net::NetHeader header = frame.header(0);
        for (uint16_t i = 0; i < count; ++i) {
            const uint16_t head = next_desc_;
            std::memcpy(buffer(head).host, &header, sizeof header);
            frame.for_each_buffer([&](uint32_t at, uint32_t from, uint32_t bytes) {
                const bool last = from + bytes == frame.bytes();
                frame.write(buffer(next_desc_).host + at, from, bytes, number + i);
                describe(at + bytes, last ? uint16_t{0} : ring::kDescNext);
            });
            make_available(head);
        }
        publish();
    }
    /// Offers buffers for `count` frames.
    void offer(const Frame& frame, uint16_t count) noexcept {
        for (unsigned i = 0; i < unsigned{count} * frame.buffers(); ++i) {
            const uint16_t head = next_desc_;
            describe(kBufferBytes, ring::kDescWrite);
            make_available(head);
        }
        publish();
    }

    /// Takes back `count` frames that were sent.
    void reclaim(const Frame& frame, uint16_t count) noexcept {
        expect_used(count);
        for (uint16_t i = 0; i < count; ++i)
            take_used(frame.buffers());
    }
    /// Takes `count` received frames, numbered from `number`. `whole`: checks every byte.
    void receive(const Frame& frame, uint16_t count, uint64_t number, bool whole) noexcept {
        const net::NetHeader expected = frame.header(frame.buffers());
        expect_used(static_cast<uint16_t>(count * frame.buffers()));
        for (uint16_t i = 0; i < count; ++i, ++number) {
            bool right = true;
            frame.for_each_buffer([&](uint32_t at, uint32_t from, uint32_t bytes) {
                const std::byte* const host = buffer(next_used_desc_).host;
                if (from == 0) {
                    net::NetHeader header;
                    std::memcpy(&header, host, sizeof header);
                    right = header.num_buffers == expected.num_buffers &&
                            header.flags == expected.flags &&
                            header.gso_type == expected.gso_type &&
                            header.gso_size == expected.gso_size;
                }
                right = take_used(1) == at + bytes &&
                        frame.matches(host + at, from, bytes, number, whole) && right;
            });
            require(right, "the driver received another frame than was sent");
        }
    }

  private:
    static constexpr uint16_t kMask = kRingSize - 1;

    static void store16(std::byte* at, uint16_t value) noexcept {
        std::atomic_ref(*reinterpret_cast<uint16_t*>(at)).store(value, std::memory_order_release);
    }
    /// Fills the next descriptor with the first `bytes` of its buffer.
    void describe(uint32_t bytes, uint16_t flags) noexcept {
        const auto slot = static_cast<uint16_t>(next_desc_++ & kMask);
        const ring::Descriptor descriptor{
            buffers_[slot].iova, bytes, flags, static_cast<uint16_t>(next_desc_ & kMask)};
        std::memcpy(desc_.host + sizeof descriptor * slot, &descriptor, sizeof descriptor);
    }
    void make_available(uint16_t head) noexcept {
        const auto slot = static_cast<uint16_t>(next_avail_++ & kMask);
        head &= kMask;
        std::memcpy(avail_.host + ring::kRingOffset + sizeof head * slot, &head, sizeof head);
    }
    void publish() noexcept { store16(avail_.host + ring::kIdxOffset, next_avail_); }

    /// At least `count` more chains are used: the device may be at work.
    void expect_used(uint16_t count) const noexcept {
        const uint16_t index =
            std::atomic_ref(*reinterpret_cast<uint16_t*>(used_.host + ring::kIdxOffset))
                .load(std::memory_order_acquire);
        require(
            static_cast<uint16_t>(index - next_used_) >= count &&
                static_cast<uint16_t>(next_avail_ - index) <= kRingSize,
            "the used index is not what was asked for"
        );
    }
    /// Returns the length of the next used element, which is for a chain of `descriptors`.
    uint32_t take_used(uint16_t descriptors) noexcept {
        ring::UsedElement element;
        const size_t slot = next_used_++ & kMask;
        std::memcpy(
            &element, used_.host + ring::kRingOffset + sizeof element * slot, sizeof element
        );
        require(element.id == (next_used_desc_ & kMask), "a used element names another chain");
        next_used_desc_ = static_cast<uint16_t>(next_used_desc_ + descriptors);
        return element.len;
    }

    AddressPair desc_;
    AddressPair avail_;
    AddressPair used_;
    std::vector<AddressPair> buffers_;
    uint16_t next_desc_ = 0;
    uint16_t next_avail_ = 0;
    uint16_t next_used_ = 0;
    uint16_t next_used_desc_ = 0;
};

}  // namespace vduse::bench
