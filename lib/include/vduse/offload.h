// SPDX-License-Identifier: BSD-3-Clause

// Offloads: frames whose checksum or segmentation is left to the receiver, and completion in
// software for receivers that do not support that.
//
// A frame in an mbuf may be unfinished: its TCP or UDP checksum is still to be computed, and it may
// be "large": one TCP frame of up to 64 KiB that is still to be cut into segments.
// `QueuePair::from_guest` returns such frames if the guest driver has negotiated it, and marks them
// as PMDs mark frames that they receive:
//
//     RTE_MBUF_F_RX_L4_CKSUM_NONE   the checksum field holds the sum of the pseudo header;
//                                   packet_type, l2_len, l3_len and l4_len say where it is
//     RTE_MBUF_F_RX_LRO             a large frame: tso_segsz bytes of TCP payload in a segment
//
// `QueuePair::to_guest` takes these marks, and the flags with which applications request the same
// (RTE_MBUF_F_TX_TCP_CKSUM, UDP_CKSUM, IP_CKSUM, TCP_SEG with lengths; the pseudo header's sum may
// be missing). It does in software what the guest driver does not accept. For all other receivers
// there is `Completion`.
//
// What a hostile guest could try: nothing, because everything that comes from a guest was checked
// before (lib/net/offload.h). Lengths in mbufs come from an application and are checked against the
// frame.
//
// Threads: data threads. There is no state except in a Completion or a Segmenter. Only mbufs are
// allocated.
#pragma once

#include <rte_mbuf_core.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vduse/drop.h"

namespace vduse {

/// The offloads that a receiver accepts: virtio's CSUM, TSO4, TSO6 and ECN, in one direction.
struct Offloads {
    bool csum = false;  ///< unfinished checksums of TCP and UDP
    bool tso4 = false;  ///< large frames of TCP over IPv4; has no effect without `csum`
    bool tso6 = false;  ///< the same over IPv6
    bool ecn = false;   ///< also large frames whose CWR flag is set

    friend constexpr bool operator==(const Offloads&, const Offloads&) = default;
};

/// The work that is left to do on a frame. Offsets are in bytes from the start of the frame.
struct Unfinished {
    bool csum = false;     ///< compute the TCP or UDP checksum
    bool pseudo = false;   ///< its field holds the pseudo header's sum already
    bool ip_csum = false;  ///< compute the checksum of the IPv4 header
    bool ipv4 = false;     ///< else IPv6
    bool tcp = false;      ///< else UDP
    bool cwr = false;      ///< a large frame with the CWR flag
    uint16_t segment = 0;  ///< bytes of TCP payload in a segment; 0: not a large frame
    uint16_t l2 = 0;       ///< bytes of each header
    uint16_t l3 = 0;
    uint16_t l4 = 0;
    uint32_t end = 0;  ///< where the bytes end that the checksum covers

    [[nodiscard]] bool any() const noexcept { return csum || ip_csum || segment != 0; }
    [[nodiscard]] uint16_t l4_at() const noexcept { return static_cast<uint16_t>(l2 + l3); }
    [[nodiscard]] uint16_t headers() const noexcept { return static_cast<uint16_t>(l2 + l3 + l4); }
    [[nodiscard]] uint16_t csum_offset() const noexcept { return tcp ? 16 : 6; }
    /// Whether a receiver that accepts `offloads` accepts this large frame as it is.
    [[nodiscard]] bool large_for(const Offloads& offloads) const noexcept {
        return offloads.csum && (ipv4 ? offloads.tso4 : offloads.tso6) && (!cwr || offloads.ecn);
    }
};

/// The most bytes that the headers of an unfinished frame may have.
inline constexpr uint32_t kMostHeaders = 192;
/// The most bytes of a large frame: IPv4's largest length, an Ethernet header, two VLAN tags.
inline constexpr uint32_t kLongestLarge = 65535 + 14 + 2 * 4;

/// The flags by which an application requests offloads for a frame that it sends.
inline constexpr uint64_t kAskedFlags =
    RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_IP_CKSUM |
    RTE_MBUF_F_TX_TUNNEL_MASK | RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_UDP_CKSUM;

/// Whether a frame may be unfinished. Fast: most frames are not.
inline bool may_be_unfinished(const rte_mbuf& frame) noexcept {
    return (frame.ol_flags & (kAskedFlags | RTE_MBUF_F_RX_LRO)) != 0 ||
           (frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

/// Stores in `what` the work that is left to do on `frame`. Returns a reason to drop the frame if
/// its flags request something that cannot be done.
std::optional<Drop> read_unfinished(const rte_mbuf& frame, Unfinished& what) noexcept;

/// Requests `what`, which may be nothing, for `frame`: sets its TX flags and header lengths, and
/// clears the marks of reception. The checksum field must hold the pseudo header's sum, or get it
/// later (rte_eth_tx_prepare). The caller decides about `ip_csum` of `what`: some PMDs need it
/// together with segmentation, others do not support it.
void ask(rte_mbuf& frame, const Unfinished& what) noexcept;

/// The length in bytes of the longest frame that `frame` can be cut into. If it is not large, its
/// own length.
uint32_t longest_segment(const rte_mbuf& frame) noexcept;

/// Cuts a large frame into segments, or computes the checksums of a frame that is not cut. It makes
/// the headers and says which bytes of the frame follow them; the caller copies both.
class Segmenter {
  public:
    /// Headers, and the place of their payload in the frame.
    struct Segment {
        std::span<const uint8_t> head;  ///< valid until the next call of `next`
        uint32_t payload = 0;           ///< offset of the payload in the frame
        uint32_t bytes = 0;             ///< bytes of payload

        [[nodiscard]] uint32_t size() const noexcept {
            return static_cast<uint32_t>(head.size()) + bytes;
        }
    };

    Segmenter() = default;
    /// `what` must be that of `frame`, which must outlive this and is not changed. `cut`: cut it
    /// into segments. `complete`: complete the TCP or UDP checksums; otherwise their fields get the
    /// pseudo header's sum.
    Segmenter(const rte_mbuf& frame, const Unfinished& what, bool cut, bool complete) noexcept;

    /// All segments; 1 if the frame is not cut.
    [[nodiscard]] uint32_t count() const noexcept { return count_; }
    /// Segments that `next` has not returned yet.
    [[nodiscard]] uint32_t left() const noexcept { return count_ - next_; }
    /// The next segment. Only while `left` is not 0.
    Segment next() noexcept;
    /// Makes `next` return the last segment again.
    void back() noexcept { --next_; }

  private:
    void set_ip(uint32_t payload_bytes) noexcept;
    void set_tcp(bool first, bool last) noexcept;
    void set_csum(const Segment& segment) noexcept;

    const rte_mbuf* frame_ = nullptr;
    Unfinished what_;
    bool cut_ = false;
    bool complete_ = false;
    uint32_t payload_bytes_ = 0;  ///< of each segment except the last
    uint32_t count_ = 0;
    uint32_t next_ = 0;
    alignas(4) std::array<uint8_t, kMostHeaders> frame_head_;
    alignas(4) std::array<uint8_t, kMostHeaders> head_;
};

/// Turns an unfinished frame into frames that a receiver accepts, in mbufs of the frame's pool.
class Completion {
  public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion() { abandon(); }

    /// Takes ownership of `frame`, to complete it for a receiver that accepts `offloads`. If others
    /// share its data, it is copied, not changed. Must not be called while `busy`. If it returns a
    /// reason, the frame was dropped and freed.
    std::optional<Drop> begin(rte_mbuf* frame, const Offloads& offloads) noexcept;
    /// Whether frames are left to return.
    [[nodiscard]] bool busy() const noexcept { return frame_ != nullptr; }
    /// Stores up to `frames.size()` of the resulting frames, which the caller then owns. Returns
    /// their number. If that is less and this is still `busy`, the pool is empty: call again later.
    uint16_t next(std::span<rte_mbuf*> frames) noexcept;
    /// Frees what is left. Returns how many frames that would have been.
    uint32_t abandon() noexcept;

    /// The result of the last `begin`: 0, the frame is passed on as it is; 1, its checksums are
    /// completed; more, it is cut into so many segments.
    [[nodiscard]] uint32_t segments() const noexcept { return segmenter_.count(); }

  private:
    rte_mbuf* frame_ = nullptr;
    bool as_it_is_ = false;
    Segmenter segmenter_;
};

}  // namespace vduse
