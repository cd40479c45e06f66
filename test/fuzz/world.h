// SPDX-License-Identifier: BSD-3-Clause

// A driver's memory with one split ring, small and with many edge cases, and a driver that races.
//
//   World world(input);             the input chooses ring size, options and first index
//   world.drive(input);             one act of the driver: a descriptor, a head, an index, ...
//   {
//       Race race(world, input);    from here on the driver may write between any two fetches
//       ... the device works ...
//   }
//   world.check_writes();           only excused bytes have changed
//
// Some regions are adjacent, some apart. They end at odd addresses and at 2^64 and differ in
// permission. An access past the host memory of a region traps. Regions are reused for all inputs,
// because mapping them would take longer than all else. They are zeroed for each input.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/guest.h"
#include "fuzz/input.h"
#include "ring/split_burst.h"
#include "support/guest_memory.h"
#include "support/mock_driver.h"

namespace vduse::test {

class World {
  public:
    static constexpr memory::Iova kRing = 0x4000'0000;
    static constexpr memory::Iova kBuffers = 0x1'0000;  ///< 4 KiB; 2 KiB follow at kBehind
    static constexpr memory::Iova kBehind = kBuffers + 0x1000;
    static constexpr memory::Iova kReadOnly = 0x2'0000;
    static constexpr memory::Iova kWriteOnly = 0x3'0000;
    static constexpr memory::Iova kLarge = 0x5'0000;  ///< room for the longest frame
    static constexpr memory::Iova kTop = std::numeric_limits<memory::Iova>::max() - 0xff;

    explicit World(Input& input)
        : memory(memory_of(setup_of(input))), driver(areas(memory), {size_, event_idx_, start_}) {
        options = {event_idx_, input.flag()};
        check(
            reload() == ring::LoadError::none && ring.restart({.avail = start_}),
            "the ring can be loaded"
        );
        settle();
    }

    ring::LoadError reload() { return ring.load(memory.table(), driver.layout(), options); }
    [[nodiscard]] uint16_t start() const { return start_; }

    /// An address: in a region, near its end, or unmapped.
    static memory::Iova iova(Input& input) {
        const auto base = input.pick<memory::Iova>(
            {kBuffers, kLarge, kBehind, kReadOnly, kWriteOnly, kTop, kRing, kUsed, 0x7777'0000, 0}
        );
        return base + 16 * uint64_t{input.byte()} - input.below(3);
    }
    ring::Descriptor descriptor(Input& input) const {
        ring::Descriptor result{};
        result.addr = iova(input);
        result.len = input.flag() ? input.byte() : input.pick<uint32_t>({1514, 2048, 10000});
        if (input.below(16) == 15)
            result.len = input.number<uint32_t>();
        result.flags = input.byte() & 7;
        result.next = static_cast<uint16_t>(input.below(std::min<uint32_t>(size_ + 1, 256)));
        return result;
    }

    /// One act of the driver, sane or not.
    void drive(Input& input) {
        const auto any = [&] { return static_cast<uint16_t>(input.below(size_)); };
        switch (input.below(6)) {
            case 0:
                offer(input);
                driver.publish();
                return;
            case 1:
                driver.write_descriptor(any(), descriptor(input));
                return;
            case 2:
                driver.push_head(any());
                return;
            case 3:
                memory.write(kBuffers + 16 * any(), bytes_of(descriptor(input)).data(), 16);
                return;
            case 4:
                driver.push_head(static_cast<uint16_t>(any() + input.below(2) * size_));
                return;
            case 5:
                driver.write_avail_idx(static_cast<uint16_t>(driver.avail_idx() + input.byte()));
                return;
        }
    }

    /// The region that `host` is in, and the IOVA of `host`.
    [[nodiscard]] const memory::Region& region_of(const std::byte* host) const {
        const auto& all = memory.entries();
        const auto found = std::find_if(all.begin(), all.end(), [&](const auto& entry) {
            const memory::Region& r = entry.region;
            return r.host <= host && host <= r.host + (r.last - r.first);
        });
        check(found != all.end(), "the device stays within the driver's memory");
        return found->region;
    }
    [[nodiscard]] memory::Iova iova_of(const std::byte* host) const {
        const memory::Region& region = region_of(host);
        return region.first + static_cast<uint64_t>(host - region.host);
    }

    // The device's writes are found by comparing memory with the copy that `settle` makes. The
    // driver's writes after `settle` go through `write`.
    void settle() {
        for (size_t i = 0; i < memory.entries().size(); ++i)
            copies_[i].assign(bytes_at(i).begin(), bytes_at(i).end());
    }
    void write(std::byte* host, std::span<const uint8_t> bytes) {
        std::memcpy(host, bytes.data(), bytes.size());
        excuse(host, bytes.size());
    }
    /// The device may have written here.
    void excuse(const std::byte* host, size_t bytes) {
        for (size_t i = 0; i < memory.entries().size(); ++i) {
            const auto region = bytes_at(i);
            if (host < region.data() || host >= region.data() + region.size())
                continue;
            const auto at = static_cast<size_t>(host - region.data());
            check(bytes <= region.size() - at, "a range lies in one region");
            std::memcpy(copies_[i].data() + at, host, bytes);
        }
    }
    void check_writes() {
        excuse(driver.areas().used.host, ring::used_bytes(size_, event_idx_));
        for (size_t i = 0; i < memory.entries().size(); ++i)
            check(
                std::memcmp(copies_[i].data(), bytes_at(i).data(), copies_[i].size()) == 0,
                "the device writes only what the driver gave it to write"
            );
    }

  private:
    static constexpr memory::Iova kUsed = kRing + 0x20'0000;
    static constexpr std::array<uint32_t, 4> kSizes = {16, 64, 4, 1};

    template <class T>
    static std::span<const uint8_t> bytes_of(const T& value) {
        return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
    }

    /// Takes size, options and start from the input, and finds the memory for them.
    size_t setup_of(Input& input) {
        const uint32_t choice = input.below(kSizes.size());
        size_ = kSizes[choice];
        event_idx_ = input.flag();
        start_ = input.pick<uint16_t>({0, 0xfff8, 0x7fff});
        return 2 * choice + (event_idx_ ? 1 : 0);
    }
    GuestMemory& memory_of(size_t setup) const {
        static std::array<std::unique_ptr<GuestMemory>, 2 * kSizes.size()> all;
        auto& result = all[setup];
        if (result == nullptr) {
            result = std::make_unique<GuestMemory>();
            RingAreas::apart(*result, kRing, size_, event_idx_);
            result->add_bytes(kBuffers, 0x1000);
            result->add_bytes(kBehind, 0x7f3);
            result->add_bytes(kReadOnly, 0x400, kRead);
            result->add_bytes(kWriteOnly, 0x400, kWrite);
            result->add_bytes(kLarge, 10'000);
            result->add(kTop, std::numeric_limits<memory::Iova>::max());
        }
        for (const auto& entry : result->entries())
            std::memset(entry.memory->data(), 0, entry.memory->bytes());
        return *result;
    }
    static RingAreas areas(const GuestMemory& memory) {
        return {memory.address(kRing), memory.address(kRing + 0x10'0000), memory.address(kUsed)};
    }
    [[nodiscard]] std::span<const std::byte> bytes_at(size_t entry) const {
        const auto& backing = *memory.entries()[entry].memory;
        return {backing.data(), backing.bytes()};
    }

    /// Offers a chain like an honest driver: up to three buffers, sometimes in an indirect table.
    void offer(Input& input) {
        std::array<Buffer, 3> buffers;
        const uint32_t count = 1 + input.below(3);
        const bool writable = input.flag();
        for (Buffer& buffer : buffers)
            buffer = {
                input.pick({kBuffers, kLarge}) + input.byte(),
                input.flag() ? input.byte() : input.pick({1526U, 60U, 5000U}),
                writable};
        const std::span<const Buffer> chain(buffers.data(), count);
        if (input.below(4) == 3)
            driver.offer_indirect(chain, memory.address(kReadOnly));
        else
            driver.offer(chain);
    }

    uint32_t size_ = 0;
    bool event_idx_ = false;
    uint16_t start_ = 0;
    std::array<std::vector<std::byte>, 9> copies_;

  public:
    GuestMemory& memory;
    MockDriver driver;
    ring::SplitRing ring;
    ring::Options options;
};

/// While a Race exists, it records every fetch as the device got it, and the input decides what the
/// driver writes after the fetch. Once the input is used up, the driver writes nothing.
class Race final : public guest::AccessHook {
  public:
    struct Fetch {
        const std::byte* host;
        std::vector<uint8_t> bytes;
    };

    Race(World& world, Input& input)
        : world_(world), input_(input), previous_(std::exchange(guest::access_hook, this)) {}
    Race(const Race&) = delete;
    Race& operator=(const Race&) = delete;
    ~Race() { guest::access_hook = previous_; }

    [[nodiscard]] std::span<const Fetch> fetches() const { return fetches_; }
    void forget() { fetches_.clear(); }
    /// Whether the used ring has more than completed elements: a buffer that the device wrote to
    /// overlaps it, or the driver wrote to it.
    [[nodiscard]] bool used_ring_disturbed() const { return used_ring_disturbed_; }

    void fetched(const void* guest, size_t bytes) noexcept override {
        if (bytes == 0)
            return;
        const auto* host = static_cast<const std::byte*>(guest);
        const auto* copy = static_cast<const uint8_t*>(guest);
        fetches_.push_back({host, {copy, copy + bytes}});
        const memory::Region& region = world_.region_of(host);
        check(bytes - 1 <= region.last - world_.iova_of(host), "a fetch lies in one region");
        if (input_.byte() < 0xc0)
            return;
        switch (input_.below(4)) {
            case 0:  // the bytes just fetched
                return write(const_cast<std::byte*>(host) + input_.below(256) % bytes);
            case 1:
                return write(world_.driver.descriptor_at(index()) + input_.below(16));
            case 2:
                return write(world_.driver.areas().avail.host + input_.below(4 + 2 * size() % 256));
            case 3:
                return write(world_.memory.host(World::kBuffers) + 16 * index() + input_.below(16));
        }
    }

    void stored(const void* guest, size_t bytes) noexcept override {
        // Used elements and the used index are recognised by their sizes. Anything else is data.
        if (bytes != sizeof(ring::UsedElement) && bytes != sizeof(uint16_t))
            disturb(static_cast<const std::byte*>(guest), bytes);
    }

  private:
    [[nodiscard]] uint32_t size() const { return world_.driver.size(); }
    uint16_t index() { return static_cast<uint16_t>(input_.below(size())); }
    void write(std::byte* host) {
        const uint8_t value = input_.byte();
        world_.write(host, {&value, 1});
        disturb(host, 1);
    }
    void disturb(const std::byte* host, size_t bytes) {
        const std::byte* const used = world_.driver.areas().used.host;
        const auto length = ring::used_bytes(size(), world_.options.event_idx);
        used_ring_disturbed_ |= host + bytes > used && host < used + length;
    }

    World& world_;
    Input& input_;
    guest::AccessHook* previous_;
    std::vector<Fetch> fetches_;
    bool used_ring_disturbed_ = false;
};

}  // namespace vduse::test
