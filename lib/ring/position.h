// SPDX-License-Identifier: BSD-3-Clause

// Where the device's side of a virtqueue is, as a value: it goes from the kernel to a ring that
// starts, from a ring that stopped to the kernel, and into the journal, and none of them looks
// inside but at the ends (device/position.h, persist/record.cc, the ring itself).
//
// Of a split ring, indexes run freely and the wrap counters say nothing. Of a packed one, both are
// places in the ring, and each has its wrap counter, which starts at 1 (virtio 1.3, 2.8.1).
//
// What a hostile driver could try: a used index that cannot belong to the position. The ring that
// starts there refuses it.
//
// Threads: any; a value.
#pragma once

#include <cstdint>

namespace vduse::ring {

struct Position {
    uint16_t avail = 0;  ///< the next entry that the device takes
    uint16_t used = 0;   ///< the next entry that it gives back
    bool avail_wrap = true;
    bool used_wrap = true;

    /// Of a split ring: chains that were taken and that nobody has given back, nor will. A device
    /// that served the ring before us took them.
    [[nodiscard]] constexpr uint16_t inherited_in_flight() const noexcept {
        return static_cast<uint16_t>(avail - used);
    }
    friend constexpr bool operator==(const Position&, const Position&) = default;
};

}  // namespace vduse::ring
