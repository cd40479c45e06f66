// SPDX-License-Identifier: BSD-3-Clause

// Converts checksum and segmentation offloads between the virtio-net header (virtio 1.3, 5.1.6.2)
// and mbuf flags. This is the only code that decodes requests from a header or encodes them in one;
// that a checksum is good (DATA_VALID) is set where the frame is copied (net/chain_writer.h).
//
// A header may request the checksum of any protocol: Linux requests those inside tunnels. An mbuf
// can describe only TCP or UDP directly after the outer IP header; other checksums are computed
// here.
//
// What a hostile driver could try: offsets after the end of the frame or inside other headers,
// segments of no bytes, or of one (a frame of 64 KiB would become 65,000 frames), IPv6 declared as
// IPv4, headers that end after the frame, a length in the IP header that is not the frame's, TSO
// without a checksum, ECN or TSO that was not negotiated. All are checked in our copies of header
// and frame.
//
// Threads: data threads; no state.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <optional>

#include "net/header.h"
#include "vduse/drop.h"
#include "vduse/offload.h"

namespace vduse::net {

/// Minimum TCP payload of a segment. Linux goes down to 36 (tcp_min_snd_mss, with timestamps).
inline constexpr uint16_t kLeastSegment = 32;

/// The offloads, per direction, that `features` allow. `off`: offloads to the guest that the driver
/// has switched off (VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET).
Offloads offloads_from_guest(uint64_t features);
Offloads offloads_to_guest(uint64_t features, uint64_t off);

/// Bits that VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET may name.
uint64_t guest_offload_bits(uint64_t features);

/// The result of decoding a frame, for counters.
struct Decoded {
    bool csum = false;      ///< its checksum is left to the receiver
    bool large = false;     ///< so is its segmentation
    bool finished = false;  ///< an mbuf cannot describe its checksum, so it was computed here
};

/// Sets the mbuf's flags and lengths to what `header` requests. The mbuf has the frame, and no
/// offload flags yet. Returns a reason if the frame must be dropped.
std::optional<Drop> decode(
    const NetHeader& header, const Offloads& negotiated, rte_mbuf& frame, Decoded& decoded
) noexcept;

/// Fast path for `encode`: the header of a received frame that leaves only its checksum, if its
/// headers are those of most frames, in one buffer. `last` is 0 for other frames.
WireHeader encode_plain(const rte_mbuf& frame) noexcept;

/// The header of a frame that leaves `what` to the driver. `large`: segmentation, too.
NetHeader encode(const Unfinished& what, bool large) noexcept;

}  // namespace vduse::net
