// SPDX-License-Identifier: BSD-3-Clause

// Logs what the device stores into guest memory, in order. From the log, a test can restore the
// memory as a process that is killed after any given store would leave it.
//
// This is exact on x86: other processes see stores in program order whether or not the process
// still lives, and a process is killed between two instructions. The log needs VDUSE_TEST_HOOKS.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "base/guest.h"
#include "support/guest_memory.h"

namespace vduse::test {

/// A snapshot of guest memory.
class Image {
  public:
    explicit Image(const GuestMemory& memory) {
        for (const GuestMemory::Entry& entry : memory.entries()) {
            std::byte* const data = entry.memory->data();
            parts_.push_back({data, {data, data + entry.memory->bytes()}});
        }
    }
    /// Updates the snapshot to the current contents.
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

/// Records every store of the device on this thread from construction on. Logs may be nested: only
/// the innermost one records.
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

    /// Stops recording.
    void end() noexcept {
        if (!std::exchange(ended_, true))
            guest::access_hook = previous_;
    }
    [[nodiscard]] const std::vector<Store>& stores() const noexcept { return stores_; }

    /// Restores guest memory to its state after the first `count` stores.
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
