// The one's complement sum (RFC 1071) of a part of a frame.
//
// rte_raw_cksum_mbuf of DPDK 22.11 is not used: behind an mbuf with an odd number of bytes it swaps
// a sum that it has not folded, and loses what was carried.
#pragma once

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>

namespace vduse::net {

/// Not complemented, in the frame's byte order. The frame has so many.
inline uint16_t raw_sum(const rte_mbuf& frame, uint32_t at, uint32_t bytes) noexcept {
    uint32_t sum = 0;  // of fewer than 65,536 mbufs
    bool odd = false;
    for (const rte_mbuf* from = &frame; bytes != 0 && from != nullptr; from = from->next) {
        if (at >= from->data_len) {
            at -= from->data_len;
            continue;
        }
        const uint32_t run = std::min<uint32_t>(bytes, from->data_len - at);
        const uint16_t part = rte_raw_cksum(rte_pktmbuf_mtod_offset(from, const void*, at), run);
        sum += odd ? rte_bswap16(part) : part;
        odd = odd != (run % 2 != 0);
        bytes -= run;
        at = 0;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

}  // namespace vduse::net
