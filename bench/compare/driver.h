// The driver's side of one split ring, the same for every side that is compared.
//
// Fast and honest: one buffer per descriptor, the header in front of the frame (VERSION_1 allows
// that), chains in ring order, no interrupts wanted. Like a real driver it writes descriptor, avail
// entry and frame each time. Every frame carries the number it was sent with, so that whoever
// receives it can tell a lost, repeated or swapped one.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "bench/compare/ram.h"
#include "net/header.h"
#include "ring/layout.h"
#include "ring/split_burst.h"
#include "vduse/limits.h"

namespace vduse::bench {

inline constexpr uint32_t kRingSize = 256;
inline constexpr uint32_t kBufferBytes = 2048;
/// A numbered frame: bytes that no frame of another size has, and its number behind the Ethernet
/// header.
class Frame {
  public:
    explicit Frame(uint32_t bytes) : bytes_(bytes) {
        uint32_t state = bytes * 2654435761U + 1;
        for (std::byte& byte : bytes_) {
            state = state * 1664525U + 1013904223U;
            byte = static_cast<std::byte>(state >> 24);
        }
    }
    [[nodiscard]] uint32_t bytes() const noexcept { return static_cast<uint32_t>(bytes_.size()); }
    void write(std::byte* to, uint64_t number) const noexcept {
        std::memcpy(to, bytes_.data(), bytes_.size());
        std::memcpy(to + kEthernetHeader, &number, sizeof number);
    }
    /// `whole`: compares every byte and not only the number.
    [[nodiscard]] bool matches(const std::byte* frame, uint64_t number, bool whole) const noexcept {
        constexpr size_t kBehind = kEthernetHeader + sizeof number;
        return std::memcmp(frame + kEthernetHeader, &number, sizeof number) == 0 &&
               (!whole ||
                (std::memcmp(frame, bytes_.data(), kEthernetHeader) == 0 &&
                 std::memcmp(frame + kBehind, bytes_.data() + kBehind, bytes_.size() - kBehind) == 0
                ));
    }

  private:
    std::vector<std::byte> bytes_;
};

class Driver {
  public:
    static constexpr uint64_t kBytes = 16384;  ///< of guest memory that a ring takes
    static_assert(
        ring::descriptor_bytes(kRingSize) + ring::avail_bytes(kRingSize, true) + 64 +
            ring::used_bytes(kRingSize, true) <=
        kBytes
    );

    /// A ring at `base`, page-aligned; a ring's parts start on cache lines of their own.
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
    /// The buffers from now on, one for each descriptor. Nothing may be in the ring.
    void use(std::vector<AddressPair> buffers) { buffers_ = std::move(buffers); }
    [[nodiscard]] const AddressPair& buffer(uint16_t index) const noexcept {
        return buffers_[index & kMask];
    }
    [[nodiscard]] uint16_t next() const noexcept { return next_avail_; }

    /// Sends `count` frames, numbered from `number`.
    void send(const Frame& frame, uint16_t count, uint64_t number) noexcept {
        for (uint16_t i = 0; i < count; ++i) {
            const AddressPair& buffer = buffers_[next_avail_ & kMask];
            const net::NetHeader header{};
            std::memcpy(buffer.host, &header, sizeof header);
            frame.write(buffer.host + sizeof header, number + i);
            make_available({buffer.iova, net::kHeaderBytes + frame.bytes(), 0, 0});
        }
        publish();
    }
    /// Offers `count` buffers.
    void offer(uint16_t count) noexcept {
        for (uint16_t i = 0; i < count; ++i)
            make_available({buffers_[next_avail_ & kMask].iova, kBufferBytes, ring::kDescWrite, 0});
        publish();
    }

    /// Takes back `count` buffers that were sent.
    void reclaim(uint16_t count) noexcept {
        take_used(count, [](const AddressPair&, uint32_t) {});
    }
    /// Takes `count` received frames, numbered from `number`; `whole`: looks at every byte.
    void receive(const Frame& frame, uint16_t count, uint64_t number, bool whole) noexcept {
        take_used(count, [&](const AddressPair& buffer, uint32_t length) {
            net::NetHeader header;
            std::memcpy(&header, buffer.host, sizeof header);
            require(
                length == sizeof header + frame.bytes() && header.num_buffers == 1 &&
                    frame.matches(buffer.host + sizeof header, number++, whole),
                "the driver received another frame than was sent"
            );
        });
    }

  private:
    static constexpr uint16_t kMask = kRingSize - 1;

    static void store16(std::byte* at, uint16_t value) noexcept {
        std::atomic_ref(*reinterpret_cast<uint16_t*>(at)).store(value, std::memory_order_release);
    }
    void make_available(const ring::Descriptor& descriptor) noexcept {
        const auto slot = static_cast<uint16_t>(next_avail_++ & kMask);
        std::memcpy(desc_.host + sizeof descriptor * slot, &descriptor, sizeof descriptor);
        std::memcpy(avail_.host + ring::kRingOffset + sizeof slot * slot, &slot, sizeof slot);
    }
    void publish() noexcept { store16(avail_.host + ring::kIdxOffset, next_avail_); }

    template <class Visit>
    void take_used(uint16_t count, Visit visit) noexcept {
        const auto end = static_cast<uint16_t>(next_used_ + count);
        const uint16_t index =
            std::atomic_ref(*reinterpret_cast<uint16_t*>(used_.host + ring::kIdxOffset))
                .load(std::memory_order_acquire);
        require(index == end, "the used index is not what was asked for");
        for (; next_used_ != end; ++next_used_) {
            ring::UsedElement element;
            const size_t slot = next_used_ & kMask;
            std::memcpy(
                &element, used_.host + ring::kRingOffset + sizeof element * slot, sizeof element
            );
            require(element.id == slot, "a used element names another chain");
            visit(buffers_[slot], element.len);
        }
    }

    AddressPair desc_;
    AddressPair avail_;
    AddressPair used_;
    std::vector<AddressPair> buffers_;
    uint16_t next_avail_ = 0;
    uint16_t next_used_ = 0;
};

}  // namespace vduse::bench
