// SPDX-License-Identifier: BSD-3-Clause

// Positions of rings in the kernel's words. A split ring has one index there, avail's: the used
// index is in the ring, which the driver can read.
//
// Threads: any; pure functions. The kernel passes on what the driver's side said, and the ring that
// starts there checks it.
#pragma once

#include "ring/position.h"
#include "uapi/abi.h"

namespace vduse::device {

inline ring::Position from_vq_info(const uapi::abi::VqInfo& info) {
    return {.avail = info.split.avail_index, .used = info.split.avail_index};
}

inline void to_vq_state(const ring::Position& position, uapi::abi::VqState& state) {
    state.split.avail_index = position.avail;
}

}  // namespace vduse::device
