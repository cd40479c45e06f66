// SPDX-License-Identifier: BSD-3-Clause

// What frames leave to who gets them, and doing it in software for who cannot.
//
// A frame in an mbuf may be unfinished: the checksum of its TCP or UDP is still to be computed, and
// it may be one TCP frame of up to 64 KiB in place of many ("large"). `QueuePair::from_guest` gives
// such frames where the driver has negotiated it, and says so as DPDK's drivers do for frames that
// they receive:
//
//     RTE_MBUF_F_RX_L4_CKSUM_NONE   the checksum field holds the sum of the pseudo header;
//     packet_type,
//                                   l2_len, l3_len and l4_len say where it is
//     RTE_MBUF_F_RX_LRO             a large frame: tso_segsz bytes of TCP payload to a segment
//
// `QueuePair::to_guest` takes these, and the flags with which applications ask for the same
// (RTE_MBUF_F_TX_TCP_CKSUM, UDP_CKSUM, IP_CKSUM, TCP_SEG with lengths; the pseudo header's sum need
// not be there). What the guest's driver does not take it does itself. For everybody else there is
// `Completion`.
//
// What a hostile guest could try: nothing reaches these functions from it that was not checked
// (lib/net/offload.h). Lengths in mbufs are an application's, and are checked against the frame.
//
// Threads: data threads. No state but a Completion's own; nothing allocates but mbufs.
#pragma once

#include <rte_mbuf_core.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vduse/drop.h"

namespace vduse {

/// What a side takes: virtio's CSUM, TSO4, TSO6 and ECN, in one direction.
struct Offloads {
    bool csum = false;  ///< unfinished checksums of TCP and UDP
    bool tso4 = false;  ///< large frames of TCP over IPv4; means nothing without `csum`
    bool tso6 = false;  ///< and IPv6
    bool ecn = false;   ///< those whose CWR flag is set, too

    friend constexpr bool operator==(const Offloads&, const Offloads&) = default;
};

/// What a frame leaves to be done. Bytes are counted from the start of the frame.
struct Unfinished {
    bool csum = false;     ///< of TCP or UDP
    bool pseudo = false;   ///< the field has the pseudo header's sum already
    bool ip_csum = false;  ///< of the IPv4 header
    bool ipv4 = false;     ///< else IPv6
    bool tcp = false;      ///< else UDP
    bool cwr = false;      ///< of a large frame
    uint16_t segment = 0;  ///< bytes of TCP payload to a segment; 0: not a large frame
    uint16_t l2 = 0;       ///< bytes of each header
    uint16_t l3 = 0;
    uint16_t l4 = 0;
    uint32_t end = 0;  ///< of what is summed

    [[nodiscard]] bool any() const noexcept { return csum || ip_csum || segment != 0; }
    [[nodiscard]] uint16_t l4_at() const noexcept { return static_cast<uint16_t>(l2 + l3); }
    [[nodiscard]] uint16_t headers() const noexcept { return static_cast<uint16_t>(l2 + l3 + l4); }
    [[nodiscard]] uint16_t csum_offset() const noexcept { return tcp ? 16 : 6; }
    /// Whether who takes `offloads` takes this large frame as it is.
    [[nodiscard]] bool large_for(const Offloads& offloads) const noexcept {
        return offloads.csum && (ipv4 ? offloads.tso4 : offloads.tso6) && (!cwr || offloads.ecn);
    }
};

/// Headers of a frame whose checksum is left to others, in bytes, at most.
inline constexpr uint32_t kMostHeaders = 192;
/// A large frame, in bytes, at most: what IPv4's length can say, behind two VLAN tags.
inline constexpr uint32_t kLongestLarge = 65535 + 14 + 2 * 4;

/// Flags by which an application asks for work on what it sends.
inline constexpr uint64_t kAskedFlags =
    RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_IP_CKSUM |
    RTE_MBUF_F_TX_TUNNEL_MASK | RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_UDP_CKSUM;

/// Whether a frame may leave anything to be done: most do not.
inline bool may_be_unfinished(const rte_mbuf& frame) noexcept {
    return (frame.ol_flags & (kAskedFlags | RTE_MBUF_F_RX_LRO)) != 0 ||
           (frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

/// What `frame` leaves to be done. A reason to drop it: nobody can do what it asks for.
std::optional<Drop> read_unfinished(const rte_mbuf& frame, Unfinished& what) noexcept;

/// Says what `frame` leaves, which is `what` or nothing, with the flags by which applications ask
/// for it, and with lengths. The pseudo header's sum is there, or must be put there
/// (rte_eth_tx_prepare). `ip_csum` of `what` is the caller's: some drivers need it asked for with
/// segments, others would not do it.
void ask(rte_mbuf& frame, const Unfinished& what) noexcept;

/// The bytes that the longest frame has into which `frame` can be cut; of one that is not large,
/// its own.
uint32_t longest_segment(const rte_mbuf& frame) noexcept;

/// Cuts a frame, or computes the sums of one that is not cut. It gives headers, and says which
/// bytes of the frame come behind them; who uses it copies both.
class Segmenter {
  public:
    /// Headers, and where in the frame their payload is.
    struct Segment {
        std::span<const uint8_t> head;  ///< good until the next one is asked for
        uint32_t payload = 0;           ///< where it is in the frame
        uint32_t bytes = 0;             ///< of payload

        [[nodiscard]] uint32_t size() const noexcept {
            return static_cast<uint32_t>(head.size()) + bytes;
        }
    };

    Segmenter() = default;
    /// `frame`, whose `what` that is, must outlive this and is not changed. `cut`: into segments.
    /// `complete`: their sums; else the field gets the pseudo header's.
    Segmenter(const rte_mbuf& frame, const Unfinished& what, bool cut, bool complete) noexcept;

    [[nodiscard]] uint32_t count() const noexcept { return count_; }
    /// Segments that `next` has not given yet.
    [[nodiscard]] uint32_t left() const noexcept { return count_ - next_; }
    /// While there are some left.
    Segment next() noexcept;
    /// Gives the last one again.
    void back() noexcept { --next_; }

  private:
    void set_ip(uint32_t payload_bytes) noexcept;
    void set_tcp(bool first, bool last) noexcept;
    void set_csum(const Segment& segment) noexcept;

    const rte_mbuf* frame_ = nullptr;
    Unfinished what_;
    bool cut_ = false;
    bool complete_ = false;
    uint32_t payload_bytes_ = 0;  ///< of a segment but the last
    uint32_t count_ = 0;
    uint32_t next_ = 0;
    alignas(4) std::array<uint8_t, kMostHeaders> frame_head_;
    alignas(4) std::array<uint8_t, kMostHeaders> head_;
};

/// Makes of an unfinished frame what somebody takes, in mbufs of the frame's pool.
class Completion {
  public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion() { abandon(); }

    /// Takes `frame`, which nobody else may have, for somebody who takes `offloads`. Not while it
    /// is `busy`. A reason: the frame was dropped.
    std::optional<Drop> begin(rte_mbuf* frame, const Offloads& offloads) noexcept;
    [[nodiscard]] bool busy() const noexcept { return frame_ != nullptr; }
    /// What it is made into, up to `frames.size()`; the caller owns them. Still busy with room in
    /// `frames`: the pool is empty; the rest comes by another call.
    uint16_t next(std::span<rte_mbuf*> frames) noexcept;
    /// Frees what is left. Returns how many frames that would have been.
    uint32_t abandon() noexcept;

    /// What became of the frame that was begun last: nothing, a sum, or segments.
    [[nodiscard]] uint32_t segments() const noexcept { return segmenter_.count(); }

  private:
    rte_mbuf* frame_ = nullptr;
    bool as_it_is_ = false;
    Segmenter segmenter_;
};

}  // namespace vduse
