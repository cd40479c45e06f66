// SPDX-License-Identifier: BSD-3-Clause

// Access to the bytes of a frame, which may be in several mbufs, from a given offset on.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vduse::net {

/// Calls `visit(const std::byte* part, uint32_t part_bytes)` for each run of `bytes` from `at`, in
/// order, until it returns false. Returns false in that case. Bytes after the end of the frame are
/// skipped.
template <class Visit>
bool walk(const rte_mbuf& frame, uint32_t at, uint32_t bytes, Visit&& visit) noexcept {
    for (const rte_mbuf* mbuf = &frame; bytes != 0 && mbuf != nullptr; mbuf = mbuf->next) {
        if (at >= mbuf->data_len) {
            at -= mbuf->data_len;
            continue;
        }
        const uint32_t run = std::min<uint32_t>(bytes, mbuf->data_len - at);
        if (!visit(rte_pktmbuf_mtod_offset(mbuf, const std::byte*, at), run))
            return false;
        bytes -= run;
        at = 0;
    }
    return true;
}

/// Copies `bytes` of `frame` from `at`. Returns false if the frame is too short.
inline bool copy_from(const rte_mbuf& frame, uint32_t at, uint32_t bytes, void* to) noexcept {
    const void* const there = rte_pktmbuf_read(&frame, at, bytes, to);
    if (there == nullptr)
        return false;
    if (there != to)
        std::memcpy(to, there, bytes);
    return true;
}

}  // namespace vduse::net
