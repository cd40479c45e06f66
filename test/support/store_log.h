// SPDX-License-Identifier: BSD-3-Clause

// What the device stored into guest memory, in order, so that a test can put back what would have
// been left of it by a process that was killed after any of the stores.
//
// (What a process has stored is seen by others in that order, on x86, whether or not it lives; and
// it is killed between two instructions.) Nothing here is of use without VDUSE_TEST_HOOKS.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "base/guest.h"
#include "support/guest_memory.h"

namespace vduse::test {

/// A copy of all that is in guest memory.
class Image {
  public:
    explicit Image(const GuestMemory& memory) {
        for (const GuestMemory::Entry& entry : memory.entries()) {
            std::byte* const data = entry.memory->data();
            parts_.push_back({data, {data, data + entry.memory->bytes()}});
        }
    }
    /// As it is now.
    void take() {
        for (auto& [data, bytes] : parts_)
            std::memcpy(bytes.data(), data, bytes.size());
    }
    void put_back() const {
        for (const auto& [data, bytes] : parts_)
            std::memcpy(data, bytes.data(), bytes.size());
    }

  private:
    std::vector<std::pair<std::byte*, std::vector<std::byte>>> parts_;
};

/// Everything that this thread's device stores from here on. They may be nested.
class StoreLog final : public guest::AccessHook {
  public:
    struct Store {
        std::byte* host;
        std::vector<std::byte> bytes;
    };

    explicit StoreLog(const GuestMemory& memory)
        : before_(memory), previous_(std::exchange(guest::access_hook, this)) {}
    StoreLog(const StoreLog&) = delete;
    StoreLog& operator=(const StoreLog&) = delete;
    ~StoreLog() { end(); }

    /// Nothing is added any more.
    void end() noexcept {
        if (!std::exchange(ended_, true))
            guest::access_hook = previous_;
    }
    [[nodiscard]] const std::vector<Store>& stores() const noexcept { return stores_; }

    /// Memory is what it was when the first `count` stores had been made.
    void put_back(size_t count) const {
        before_.put_back();
        for (size_t i = 0; i < count; ++i)
            std::memcpy(stores_[i].host, stores_[i].bytes.data(), stores_[i].bytes.size());
    }

    void fetched(const void* /*guest*/, size_t /*bytes*/) noexcept override {}
    void stored(const void* guest, size_t bytes) noexcept override {
        auto* const host = static_cast<std::byte*>(const_cast<void*>(guest));
        stores_.push_back({host, {host, host + bytes}});
    }

  private:
    Image before_;
    guest::AccessHook* previous_;
    bool ended_ = false;
    std::vector<Store> stores_;
};

}  // namespace vduse::test
