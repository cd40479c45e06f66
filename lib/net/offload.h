// SPDX-License-Identifier: BSD-3-Clause

// The virtio-net header's words for checksums and segments (virtio 1.3, 5.1.6.2), to and from an
// mbuf's. This is the only place that reads or writes more of a header than that it asks for
// nothing.
//
// A header may ask for the checksum of anything: Linux asks for those inside of tunnels. What is
// not TCP or UDP right behind the outer IP header has no words in an mbuf; its sum is finished
// here.
//
// What a hostile driver could try: offsets behind the end, or inside of other headers, segments of
// no bytes, or of one (a frame of 64 KiB would become 65,000), IPv6 called IPv4, headers that end
// behind the frame, a length in the IP header that is not the frame's, TSO without a checksum, ECN
// or TSO that was not negotiated. All are looked at in our copies of header and frame.
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

/// TCP payload of a segment, at least. Linux goes down to 36 (tcp_min_snd_mss, with timestamps).
inline constexpr uint16_t kLeastSegment = 32;

/// What the features of a driver say of frames from it, and to it. `off`: those of the latter that
/// it has switched off (VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET).
Offloads offloads_from_guest(uint64_t features);
Offloads offloads_to_guest(uint64_t features, uint64_t off);

/// Bits that VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET may name.
uint64_t guest_offload_bits(uint64_t features);

/// What decoding made of a frame, for counters.
struct Decoded {
    bool csum = false;      ///< it leaves its checksum to others
    bool large = false;     ///< and segments
    bool finished = false;  ///< its sum has no words in an mbuf and was finished
};

/// Says in the mbuf what `header` asks for. The mbuf has the frame, and says nothing yet. A reason:
/// it must be dropped.
std::optional<Drop> decode(
    const NetHeader& header, const Offloads& negotiated, rte_mbuf& frame, Decoded& decoded
) noexcept;

/// The header of a frame that leaves `what` to the driver. `large`: segments, too.
NetHeader encode(const Unfinished& what, bool large) noexcept;

}  // namespace vduse::net
