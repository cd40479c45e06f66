// Counters of one virtqueue: one writer (the thread inside the gate), any reader.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vduse::net {

class Counter {
  public:
    void add(uint64_t n) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    [[nodiscard]] uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_ = 0;
};

/// Why a frame or a chain did not go through.
enum class Drop : uint8_t {
    malformed,   ///< the chain broke a rule of the ring, or is not mapped
    bad_header,  ///< the virtio-net header asks for what was not negotiated
    too_short,   ///< no room for, or no content of, header and Ethernet header
    too_long,    ///< longer than the MTU allows
    filtered,    ///< to_guest: the driver's receive filter
    no_room,     ///< to_guest: larger than the buffers that the driver offers
};
inline constexpr size_t kDropReasons = 6;

inline constexpr std::array<const char*, kDropReasons> kDropNames = {
    "malformed", "bad_header", "too_short", "too_long", "filtered", "no_room"};

struct QueueCounters {
    Counter frames;
    Counter bytes;  ///< without the virtio-net header
    std::array<Counter, kDropReasons> drops;
    Counter no_buffer;  ///< to_guest: bursts of which frames were left for want of buffers
    Counter no_mbuf;    ///< bursts put off because the mempool was empty: nothing is lost
    Counter interrupts;
    Counter misses;  ///< chains that waited for control to look for their memory

    void drop(Drop reason) noexcept { drops[static_cast<size_t>(reason)].add(1); }
};

}  // namespace vduse::net
