// SPDX-License-Identifier: BSD-3-Clause

// Conversion of ring positions from and to the kernel's structs. For a split ring, these have only
// the avail index. The used index is in the ring, where the driver can read it.
//
// Threads: any; pure functions. The kernel passes on the values of the driver's side. They are
// checked by the ring that starts there.
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
