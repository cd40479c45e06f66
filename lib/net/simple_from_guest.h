// SPDX-License-Identifier: BSD-3-Clause

// Fast path of from_guest.h, which lists what a hostile driver could try.
//
// Everything that the frames of a burst have in common is computed once: which lengths are legal,
// and the fields of an mbuf.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/guest.h"
#include "net/header.h"
#include "net/rules.h"
#include "vduse/limits.h"

namespace vduse::net::detail {

/// Fast path: a frame in one buffer that fits into one mbuf.
struct SimpleFromGuest {
    // The fields of an mbuf that PMDs write together. They are put together in registers: what is
    // put together in memory is loaded in wider pieces than it was stored in, which stalls.
    static constexpr size_t kRearmAt = offsetof(rte_mbuf, data_off);
    static_assert(offsetof(rte_mbuf, refcnt) == kRearmAt + 2);
    static_assert(offsetof(rte_mbuf, nb_segs) == kRearmAt + 4);
    static_assert(offsetof(rte_mbuf, port) == kRearmAt + 6);
    static constexpr size_t kReceivedAt = offsetof(rte_mbuf, packet_type);
    static_assert(offsetof(rte_mbuf, pkt_len) == kReceivedAt + 4);
    static_assert(offsetof(rte_mbuf, data_len) == kReceivedAt + 8);
    static_assert(offsetof(rte_mbuf, vlan_tci) == kReceivedAt + 10);
    static_assert(offsetof(rte_mbuf, hash) == kReceivedAt + 12);

    uint32_t lengths;  ///< how many lengths a frame may have, from that of an Ethernet header on
    uint64_t rearm;    ///< data_off, refcnt, nb_segs, port
    uint64_t ol_flags;

    /// The mbufs of `pool` are alike.
    SimpleFromGuest(const FromGuestRules& rules, rte_mempool* pool) noexcept
        : lengths(lengths_of(rules.longest, rte_pktmbuf_data_room_size(pool))),
          rearm(
              RTE_PKTMBUF_HEADROOM | uint64_t{1} << 16 | uint64_t{1} << 32 |
              uint64_t{rules.port} << 48
          ),
          // Flags that are not about the frame but about the memory of the pool's mbufs stay.
          ol_flags(
              (rte_pktmbuf_priv_flags(pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF) != 0
                  ? RTE_MBUF_F_EXTERNAL
                  : 0
          ) {}

    static uint32_t lengths_of(uint32_t longest, uint32_t data_room) noexcept {
        // One byte less than an mbuf with room for the shortest frame.
        constexpr uint32_t kTooSmall = RTE_PKTMBUF_HEADROOM + kEthernetHeader - 1;
        return std::min(
            std::max(longest, kEthernetHeader - 1) - (kEthernetHeader - 1),
            std::max(data_room, kTooSmall) - kTooSmall
        );
    }
    /// Whether the frame in a buffer of `bytes` has a legal length and fits into an mbuf.
    [[nodiscard]] bool fits(uint32_t bytes) const noexcept {
        return bytes - kHeaderBytes - kEthernetHeader < lengths;
    }
    /// Initialises `mbuf`, as `prepare`, and copies `bytes` of the frame into it.
    void copy(const std::byte* frame, uint32_t bytes, rte_mbuf* mbuf) const noexcept {
        const std::array<uint64_t, 2> received = {uint64_t{bytes} << 32, uint64_t{bytes} & 0xffff};
        auto* const fields = reinterpret_cast<std::byte*>(mbuf);
        std::memcpy(fields + kRearmAt, &rearm, sizeof rearm);
        mbuf->ol_flags = ol_flags;
        std::memcpy(fields + kReceivedAt, &received, sizeof received);
        mbuf->tx_offload = 0;
        auto* const to = static_cast<std::byte*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM;
        guest::fetch_bytes(to, frame, bytes);
    }
};

}  // namespace vduse::net::detail
