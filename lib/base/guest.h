// SPDX-License-Identifier: BSD-3-Clause

// The only header that touches bytes in guest memory.
//
// The driver can rewrite its memory at any instant. So a value is fetched exactly once into our own
// storage, and every decision is made on that copy. What we write to guest memory is never read
// back. The caller has checked lengths and addresses: nothing here knows a region.
//
// In test builds (VDUSE_TEST_HOOKS) every fetch and every store is reported to
// `guest::access_hook`. The ledger of test/support checks that no byte is fetched twice in one
// operation. A hostile driver may write between any two fetches, which makes races deterministic.
// And a test sees what the driver would see if the process died at that moment.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace vduse::guest {

#ifdef VDUSE_TEST_HOOKS
/// Called with the guest's range after each fetch, when the copy is final, and after each store.
struct AccessHook {
    virtual void fetched(const void* guest, size_t bytes) noexcept = 0;
    virtual void stored(const void* /*guest*/, size_t /*bytes*/) noexcept {}

  protected:
    ~AccessHook() = default;
};
inline thread_local AccessHook* access_hook = nullptr;
inline void report(const void* guest, size_t bytes) noexcept {
    if (access_hook != nullptr)
        access_hook->fetched(guest, bytes);
}
inline void report_store(const void* guest, size_t bytes) noexcept {
    if (access_hook != nullptr)
        access_hook->stored(guest, bytes);
}
#else
inline void report(const void* /*guest*/, size_t /*bytes*/) noexcept {
}
inline void report_store(const void* /*guest*/, size_t /*bytes*/) noexcept {
}
#endif

/// Copies fewer than 64 bytes: two pieces that may overlap.
inline void copy_short(std::byte* to, const std::byte* from, size_t bytes) noexcept {
    const auto pieces = [&]<size_t kPiece>() {
        std::array<std::byte, kPiece> first;
        std::array<std::byte, kPiece> last;
        std::memcpy(&first, from, kPiece);
        std::memcpy(&last, from + bytes - kPiece, kPiece);
        std::memcpy(to, &first, kPiece);
        std::memcpy(to + bytes - kPiece, &last, kPiece);
    };
    if (bytes >= 32)
        pieces.operator()<32>();
    else if (bytes >= 16)
        pieces.operator()<16>();
    else if (bytes >= 8)
        pieces.operator()<8>();
    else if (bytes >= 4)
        pieces.operator()<4>();
    else if (bytes >= 2)
        pieces.operator()<2>();
    else if (bytes != 0)
        *to = *from;
}

/// std::memcpy, but without a call for the sizes of small frames, and without the string
/// instruction that libc uses from 2 KiB on: it is slow to start, and on an emulated CPU it copies
/// a byte at a time.
inline void copy(void* to, const void* from, size_t bytes) noexcept {
    constexpr size_t kBlock = 64;
    constexpr size_t kInline = 4 * kBlock;
    constexpr size_t kString = 2048;
    auto* target = static_cast<std::byte*>(to);
    const auto* source = static_cast<const std::byte*>(from);
    if (bytes < kBlock)
        return copy_short(target, source, bytes);
    if (bytes > kInline && bytes < kString)
        return static_cast<void>(std::memcpy(to, from, bytes));
    const size_t last = bytes - kBlock;
    for (size_t at = 0; at < last; at += kBlock)
        std::memcpy(target + at, source + at, kBlock);
    std::memcpy(target + last, source + last, kBlock);  // may overlap the one before
}

/// Prefetches a cache line that will be written. A line that was prefetched for reading would have
/// to be fetched from the driver's core a second time. It is written in assembly, because compilers
/// only emit the instruction for CPUs newer than those that DPDK is built for; older CPUs execute
/// it as a NOP.
inline void prefetch_to_store(const void* guest) noexcept {
#ifdef __x86_64__
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(guest)));
#else
    __builtin_prefetch(guest, 1);
#endif
}

/// Copies one object out of guest memory. `guest` need not be aligned.
template <class T>
requires std::is_trivially_copyable_v<T>
inline void fetch_into(T& local, const void* guest) noexcept {
    // The copy is final: the compiler must not load it again. What fits into registers may stay
    // there.
    if constexpr (sizeof local == 2 * sizeof(uint64_t)) {
        std::array<uint64_t, 2> words;
        std::memcpy(&words, guest, sizeof words);
        asm volatile("" : "+r"(words[0]), "+r"(words[1]));
        std::memcpy(&local, &words, sizeof local);
    } else {
        std::memcpy(&local, guest, sizeof local);
        if constexpr (std::is_integral_v<T>)
            asm volatile("" : "+r"(local));
        else
            asm volatile("" : "+m"(local));
    }
    report(guest, sizeof local);
}

template <class T>
requires std::is_trivially_copyable_v<T>
[[nodiscard]] inline T fetch(const void* guest) noexcept {
    T local;
    fetch_into(local, guest);
    return local;
}

/// Copies `bytes` out of guest memory.
inline void fetch_bytes(void* local, const void* guest, size_t bytes) noexcept {
    copy(local, guest, bytes);
    asm volatile("" : : "r"(local) : "memory");
    report(guest, bytes);
}

/// Copies `bytes` into guest memory.
inline void store_bytes(void* guest, const void* local, size_t bytes) noexcept {
    copy(guest, local, bytes);
    report_store(guest, bytes);
}

/// Copies one object into guest memory.
template <class T>
requires std::is_trivially_copyable_v<T>
inline void store(void* guest, const T& local) noexcept {
    std::memcpy(guest, &local, sizeof local);
    report_store(guest, sizeof local);
}

/// Reads an index that the driver publishes (2-byte aligned). Later fetches see what it covers.
[[nodiscard]] inline uint16_t load_acquire(const void* guest) noexcept {
    auto* word = static_cast<uint16_t*>(const_cast<void*>(guest));
    const uint16_t value = std::atomic_ref<uint16_t>(*word).load(std::memory_order_acquire);
    report(guest, sizeof value);
    return value;
}

/// Publishes an index (2-byte aligned) after everything stored before it.
inline void store_release(void* guest, uint16_t value) noexcept {
    std::atomic_ref<uint16_t>(*static_cast<uint16_t*>(guest))
        .store(value, std::memory_order_release);
    report_store(guest, sizeof value);
}

/// Writes a hint that the driver reads at any time (2-byte aligned).
inline void store_hint(void* guest, uint16_t value) noexcept {
    std::atomic_ref<uint16_t>(*static_cast<uint16_t*>(guest))
        .store(value, std::memory_order_relaxed);
    report_store(guest, sizeof value);
}

/// Reads a hint of the driver (2-byte aligned), which only decides whether to notify it.
[[nodiscard]] inline uint16_t load_hint(const void* guest) noexcept {
    auto* word = static_cast<uint16_t*>(const_cast<void*>(guest));
    return std::atomic_ref<uint16_t>(*word).load(std::memory_order_relaxed);
}

}  // namespace vduse::guest
