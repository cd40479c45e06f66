// The receive filter that the driver programs through the control queue (virtio 1.3, 5.1.6.5).
//
// A plain value: control edits its copy and assigns it while the gates of the to_guest queues are
// closed, data threads read it. Defaults are those of a device after reset: promiscuous, tables
// empty.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vduse/drop.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::net {

/// Addresses per table; a driver that wants more gets all of them (5.1.6.5.2 allows that).
inline constexpr size_t kMaxMacs = 1024;
inline constexpr uint16_t kVlans = 4096;

struct MacTable {
    std::vector<MacAddress> addresses;  ///< sorted
    bool everything = false;            ///< there were too many

    [[nodiscard]] bool contains(const MacAddress& mac) const noexcept {
        return everything || std::binary_search(addresses.begin(), addresses.end(), mac);
    }
};

struct Filter {
    MacAddress mac{};
    bool promiscuous = true;
    bool all_multicast = false;
    bool all_unicast = false;
    bool no_multicast = false;
    bool no_unicast = false;
    bool no_broadcast = false;
    bool vlan_filtering = false;  ///< VIRTIO_NET_F_CTRL_VLAN was negotiated
    MacTable unicast;
    MacTable multicast;
    std::bitset<kVlans> vlans;

    /// Why `frame` must not reach the guest, or nothing.
    [[nodiscard]] std::optional<Drop> check(const rte_mbuf* frame, uint32_t longest)
        const noexcept {
        if (frame->pkt_len < kEthernetHeader)
            return Drop::too_short;
        if (frame->pkt_len > longest)
            return Drop::too_long;
        if (promiscuous)
            return std::nullopt;
        std::array<uint8_t, kEthernetHeader + kVlanTag> scratch;
        const auto bytes =
            std::min<uint32_t>(frame->pkt_len, static_cast<uint32_t>(scratch.size()));
        const auto* head =
            static_cast<const uint8_t*>(rte_pktmbuf_read(frame, 0, bytes, scratch.data()));
        return accepts({head, bytes}) ? std::nullopt : std::optional(Drop::filtered);
    }

    /// `head`: the first 18 bytes of the frame, or all of a shorter one, 14 at least.
    [[nodiscard]] bool accepts(std::span<const uint8_t> head) const noexcept;
};

}  // namespace vduse::net
