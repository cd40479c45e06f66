// SPDX-License-Identifier: BSD-3-Clause

// Copies bytes between a chain's segments and our own memory. The ring has checked the lengths.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/guest.h"
#include "ring/chain.h"

namespace vduse::net {

/// A position in a list of segments. It moves forward only, so that nothing is fetched twice.
class Cursor {
  public:
    explicit Cursor(std::span<const ring::Segment> segments) noexcept : segments_(segments) {}

    /// Fetches `bytes` from the guest; at least as many must be left.
    void fetch(void* local, uint32_t bytes) noexcept {
        auto* to = static_cast<std::byte*>(local);
        move(bytes, [&](std::byte* guest, uint32_t run) {
            guest::fetch_bytes(to, guest, run);
            to += run;
        });
    }

    /// Stores up to `bytes` to the guest; returns how many bytes there was room for.
    uint32_t store(const void* local, uint32_t bytes) noexcept {
        const auto* from = static_cast<const std::byte*>(local);
        return move(bytes, [&](std::byte* guest, uint32_t run) {
            guest::store_bytes(guest, from, run);
            from += run;
        });
    }

  private:
    template <class Copy>
    uint32_t move(uint32_t bytes, Copy copy) noexcept {
        uint32_t left = bytes;
        while (left != 0 && !segments_.empty()) {
            const ring::Segment& segment = segments_.front();
            const uint32_t run = std::min(left, segment.bytes - used_);
            copy(segment.host + used_, run);
            left -= run;
            used_ += run;
            if (used_ == segment.bytes) {
                segments_ = segments_.subspan(1);
                used_ = 0;
            }
        }
        return bytes - left;
    }

    std::span<const ring::Segment> segments_;
    uint32_t used_ = 0;  ///< offset in the first segment
};

}  // namespace vduse::net
