// SPDX-License-Identifier: BSD-3-Clause

// The device's position in a virtqueue, as a value. It is passed from the kernel to a ring that
// starts, from a stopped ring to the kernel, and into the journal. Only the ends look inside:
// device/position.h, persist/record.cc and the ring itself.
//
// In a split ring, the indexes are free-running and the wrap counters are unused. In a packed ring,
// both indexes are offsets into the ring, each with a wrap counter that starts at 1 (virtio 1.3,
// 2.8.1).
//
// What a hostile driver could try: a used index that does not fit the avail index. The ring refuses
// to start there.
//
// Threads: any; a value.
#pragma once

#include <cstdint>

namespace vduse::ring {

struct Position {
    uint16_t avail = 0;  ///< the next entry that the device takes from the avail ring
    uint16_t used = 0;   ///< the next entry that it writes to the used ring
    bool avail_wrap = true;
    bool used_wrap = true;

    /// Split ring: chains that were taken but will never be returned. A device that served the ring
    /// before us took them.
    [[nodiscard]] constexpr uint16_t inherited_in_flight() const noexcept {
        return static_cast<uint16_t>(avail - used);
    }
    friend constexpr bool operator==(const Position&, const Position&) = default;
};

}  // namespace vduse::ring
