// SPDX-License-Identifier: BSD-3-Clause

// The receive filter that the driver programs through the control queue (virtio 1.3, 5.1.6.5).
//
// A plain value. Control edits its copy and assigns it while the gates of the to_guest queues are
// closed; data threads read it. Defaults are those of a device after reset: promiscuous, empty
// tables.
#pragma once

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <span>
#include <vector>

#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::net {

/// Addresses per table. If the driver sets more, all addresses match (5.1.6.5.2 allows that).
inline constexpr size_t kMaxMacs = 1024;
inline constexpr uint16_t kVlans = 4096;

struct MacTable {
    std::vector<MacAddress> addresses;  ///< sorted
    bool everything = false;            ///< matches all: there were too many addresses

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

    /// The number of leading bytes of a frame that the filter reads.
    static constexpr uint32_t kHead = kEthernetHeader + kVlanTag;
    /// `head`: the first kHead bytes of the frame, or all of a shorter one (at least 14).
    [[nodiscard]] bool accepts(std::span<const uint8_t> head) const noexcept;
};

}  // namespace vduse::net
