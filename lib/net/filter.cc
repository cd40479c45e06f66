// SPDX-License-Identifier: BSD-3-Clause

#include "net/filter.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

namespace vduse::net {
namespace {

constexpr MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint16_t kTypeVlan = 0x8100;

uint16_t big_endian(std::span<const uint8_t> bytes) {
    return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

}  // namespace

bool Filter::accepts(std::span<const uint8_t> head) const noexcept {
    // Promiscuous mode disables the VLAN filter too, as in QEMU's device and as tcpdump expects.
    if (promiscuous)
        return true;
    // 5.1.6.5.3: untagged frames pass.
    if (vlan_filtering && head.size() >= kEthernetHeader + kVlanTag &&
        big_endian(head.subspan(12)) == kTypeVlan &&
        !vlans.test(big_endian(head.subspan(14)) & (kVlans - 1)))
        return false;
    MacAddress destination;
    std::copy_n(head.begin(), destination.size(), destination.begin());
    // 5.1.6.5.1: the NO* modes override the ALL* modes, and broadcast is not multicast.
    if (destination == kBroadcast)
        return !no_broadcast;
    if ((destination[0] & 1) != 0)
        return !no_multicast && (all_multicast || multicast.contains(destination));
    return !no_unicast && (all_unicast || destination == mac || unicast.contains(destination));
}

}  // namespace vduse::net
