// SPDX-License-Identifier: BSD-3-Clause

// How it works: see bridge.h. A set of members is a 64-bit word, bit i for member i.
#include "app/datapath/bridge.h"
#include "vduse/mac.h"
#include "vduse/offload.h"

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace vduse::app {
namespace {

constexpr uint64_t bit(size_t member) {
    return uint64_t{1} << member;
}

/// Removes the lowest member from the set and returns it.
unsigned pop(uint64_t& set) {
    const auto lowest = static_cast<unsigned>(std::countr_zero(set));
    set &= set - 1;
    return lowest;
}

/// Frames for the other end of one cable only. BPDUs (to :00) are forwarded.
bool is_link_local(const rte_ether_hdr& header) {
    constexpr MacAddress kFirst = {0x01, 0x80, 0xc2, 0, 0, 0};
    constexpr uint16_t kMacControl = 0x8808;
    const uint8_t* const to = header.dst_addr.addr_bytes;
    const bool reserved =
        std::equal(kFirst.begin(), kFirst.end() - 1, to) && to[5] != 0 && (to[5] & 0xf0) == 0;
    return reserved || header.ether_type == rte_cpu_to_be_16(kMacControl);
}

MacAddress address(const rte_ether_addr& bytes) {
    MacAddress mac;
    std::copy_n(bytes.addr_bytes, mac.size(), mac.begin());
    return mac;
}

}  // namespace

Result<std::unique_ptr<Bridge>> Bridge::create(
    const std::string& name, std::span<const BridgeMember> members, uint64_t lifetime
) {
    auto mac_table = MacTable::create(name, MacTable::kCapacity, members.size(), lifetime);
    if (!mac_table)
        return mac_table.error();
    return std::unique_ptr<Bridge>(new Bridge(name, members, std::move(*mac_table)));
}

Bridge::Bridge(
    std::string name, std::span<const BridgeMember> members, std::unique_ptr<MacTable> mac_table
)
    : name_(std::move(name)),
      members_(members.begin(), members.end()),
      outputs_(members.size()),
      mac_table_(std::move(mac_table)) {
    for (size_t i = 0; i < members_.size(); ++i) {
        all_ |= bit(i);
        if (members_[i].device)
            devices_ |= bit(i);
        order_.push_back(static_cast<uint8_t>(i));
    }
    // Not std::ranges: clang 14 cannot compile that version with g++ 12's headers.
    std::stable_partition(order_.begin(), order_.end(), [this](uint8_t i) {
        return members_[i].device;
    });
}

void Bridge::sort(
    unsigned from, std::span<rte_mbuf* const> frames, rte_mempool* pool, uint64_t now
) noexcept {
    for (Output& output : outputs_)
        output.count = 0;
    for (rte_mbuf* const frame : frames)
        deliver(frame, targets(from, frame, now), pool);
}

bool Bridge::belongs_to_another(const MacAddress& source, unsigned from) const noexcept {
    const auto owns = [&](const BridgeMember& member) {
        return member.mac != nullptr && member.mac() == source;
    };
    const BridgeMember& sender = members_[from];
    const auto guarded = [&](const BridgeMember& member) {
        return owns(member) && (sender.device || member.given_mac == source);
    };
    return std::any_of(members_.begin(), members_.end(), guarded) && !owns(sender);
}

void Bridge::learn(const MacAddress& source, unsigned from, uint64_t now) noexcept {
    if (mac_table_->refresh(source, from, now))
        return;
    if (belongs_to_another(source, from)) {
        counters_.not_own.add(1);
        return;
    }
    const Learned learned = mac_table_->learn(source, from, now);
    counters_.moved.add(learned == Learned::moved ? 1 : 0);
    counters_.not_learned.add(learned == Learned::full ? 1 : 0);
}

uint64_t Bridge::targets(unsigned from, const rte_mbuf* frame, uint64_t now) noexcept {
    rte_ether_hdr scratch;
    const void* const head = rte_pktmbuf_read(frame, 0, sizeof scratch, &scratch);
    if (head == nullptr) {
        counters_.too_short.add(1);
        return 0;
    }
    const auto* const header = static_cast<const rte_ether_hdr*>(head);
    if (rte_is_valid_assigned_ether_addr(&header->src_addr) == 0) {
        counters_.bad_source.add(1);
        return 0;
    }
    if (is_link_local(*header)) {
        counters_.link_local.add(1);
        return 0;
    }
    learn(address(header->src_addr), from, now);

    const auto member = mac_table_->find(address(header->dst_addr), now);
    if (!member) {
        counters_.flooded.add(1);
        return all_ & ~bit(from);
    }
    if (*member == from) {
        counters_.returned.add(1);
        return 0;
    }
    return bit(*member);
}

void Bridge::deliver(rte_mbuf* frame, uint64_t targets, rte_mempool* pool) noexcept {
    uint64_t ports = 0;
    const uint32_t longest = may_be_unfinished(*frame) ? longest_segment(*frame) : frame->pkt_len;
    for (uint64_t rest = targets & ~devices_; rest != 0;) {
        const unsigned port = pop(rest);
        if (longest > members_[port].longest)
            counters_.too_long.add(1);
        else
            ports |= bit(port);
    }
    uint64_t devices = targets & devices_;
    // Our reference goes to a port, or to one of the devices if there is no port.
    const int more = std::popcount(devices) - (ports == 0 ? 1 : 0);
    if (more < 0)
        return rte_pktmbuf_free(frame);
    if (more > 0)
        rte_pktmbuf_refcnt_update(frame, static_cast<int16_t>(more));
    while (devices != 0)
        outputs_[pop(devices)].add(frame);
    to_ports(frame, ports, pool);
}

/// The last port gets the frame itself, the others get copies.
void Bridge::to_ports(rte_mbuf* frame, uint64_t ports, rte_mempool* pool) noexcept {
    while (ports != 0) {
        const unsigned port = pop(ports);
        rte_mbuf* const own = ports == 0 ? frame : rte_pktmbuf_copy(frame, pool, 0, UINT32_MAX);
        if (own != nullptr)
            outputs_[port].add(own);
        else
            counters_.no_mbuf.add(1);
    }
}

}  // namespace vduse::app
