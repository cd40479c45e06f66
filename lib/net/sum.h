// SPDX-License-Identifier: BSD-3-Clause

// The one's complement sum (RFC 1071) of a part of a frame.
//
// rte_raw_cksum_mbuf of DPDK 22.11 is not used: after an mbuf with an odd number of bytes it swaps
// a sum that is not folded yet, and loses the carry.
#pragma once

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#include "net/mbuf_walk.h"

namespace vduse::net {

/// The sum, not complemented, in the frame's byte order. The frame has at least `at + bytes` bytes.
inline uint16_t raw_sum(const rte_mbuf& frame, uint32_t at, uint32_t bytes) noexcept {
    uint32_t sum = 0;  // no overflow: fewer than 65,536 mbufs
    bool odd = false;
    walk(frame, at, bytes, [&](const std::byte* part, uint32_t run) {
        const uint16_t its = rte_raw_cksum(part, run);
        sum += odd ? rte_bswap16(its) : its;
        odd = odd != (run % 2 != 0);
        return true;
    });
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

}  // namespace vduse::net
