// SPDX-License-Identifier: BSD-3-Clause

#include "memory/lost_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <deque>
#include <mutex>
#include <vector>

#include "base/fd.h"

namespace vduse::memory {
namespace {

using Slot = WatchedMapping::Slot;

std::atomic<Slot*> slots = nullptr;  // read by the handler; grows at the front only
std::atomic<int> wake = -1;
std::atomic<uint64_t> lost = 0;
struct sigaction previous {};

std::mutex mutex;            // protects the next two; never taken by the handler
std::deque<Slot> all_slots;  // elements do not move
std::vector<Slot*> free_slots;

/// The slot whose mapping contains `address`. The faulting thread uses that mapping, so it stays.
Slot* find(uintptr_t address) noexcept {
    for (Slot* slot = slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
        const size_t bytes = slot->bytes.load(std::memory_order_acquire);
        const auto start = reinterpret_cast<uintptr_t>(slot->start.load(std::memory_order_relaxed));
        if (bytes != 0 && address - start < bytes)
            return slot;
    }
    return nullptr;
}

void handler(int signal, siginfo_t* info, void* context) noexcept {
    const int saved = errno;
    Slot* const slot = find(reinterpret_cast<uintptr_t>(info->si_addr));
    if (slot != nullptr) {
        // The whole mapping, because a part of a huge page cannot be replaced. Two threads may do
        // this at once without harm.
        constexpr int kProtection = PROT_READ | PROT_WRITE;
        constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
        void* const start = slot->start.load(std::memory_order_relaxed);
        if (::mmap(start, slot->bytes.load(), kProtection, kFlags, -1, 0) != MAP_FAILED) {
            slot->lost.store(true, std::memory_order_release);
            lost.fetch_add(1, std::memory_order_release);
            if (const int fd = wake.load(std::memory_order_relaxed); fd >= 0)
                raise_eventfd(fd);
            errno = saved;
            return;
        }
    }
    if ((previous.sa_flags & SA_SIGINFO) != 0)
        return previous.sa_sigaction(signal, info, context);
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        return previous.sa_handler(signal);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

}  // namespace

void handle_lost_memory(int wake_fd) noexcept {
    wake.store(wake_fd, std::memory_order_relaxed);
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action {};
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ::sigaction(SIGBUS, &action, &previous);
    });
}

uint64_t lost_mappings() noexcept {
    return lost.load(std::memory_order_acquire);
}

WatchedMapping::WatchedMapping(void* start, size_t bytes) {
    const std::lock_guard guard(mutex);
    if (free_slots.empty()) {
        slot_ = &all_slots.emplace_back();
        slot_->next = slots.load(std::memory_order_relaxed);
        slots.store(slot_, std::memory_order_release);
    } else {
        slot_ = free_slots.back();
        free_slots.pop_back();
    }
    slot_->lost.store(false, std::memory_order_relaxed);
    slot_->start.store(start, std::memory_order_relaxed);
    slot_->bytes.store(bytes, std::memory_order_release);
}

WatchedMapping::~WatchedMapping() {
    if (slot_ == nullptr)
        return;
    slot_->bytes.store(0, std::memory_order_release);
    const std::lock_guard guard(mutex);
    free_slots.push_back(slot_);
}

}  // namespace vduse::memory
