// SPDX-License-Identifier: BSD-3-Clause

#include "net/control_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "net/cursor.h"
#include "net/offload.h"
#include "ring/split_burst.h"
#include "vduse/limits.h"
#include "vduse/mac.h"
#include "virtio/features.h"

namespace vduse::net {
namespace {

using Data = std::span<const uint8_t>;

/// Room for ten thousand MAC addresses: Linux sends all of its addresses in one command.
constexpr uint32_t kMaxCommand = 64 * 1024;
constexpr uint8_t kAckOk = 0;
constexpr uint8_t kAckError = 1;

template <class T>
T value_at(Data data, size_t offset) {
    T value;
    std::memcpy(&value, data.data() + offset, sizeof value);
    return value;
}

/// Limits that a command is checked against.
struct Limits {
    uint64_t features;  ///< negotiated
    uint16_t pairs;
};

bool set_mode(bool& mode, Data data) {
    if (data[0] > 1)
        return false;
    mode = data[0] == 1;
    return true;
}

/// Reads one table of MAC_TABLE_SET from the front of `data`, a count and that many addresses, and
/// advances `data`.
bool take_mac_table(Data& data, MacTable& table) {
    if (data.size() < sizeof(uint32_t))
        return false;
    const size_t entries = value_at<uint32_t>(data, 0);
    data = data.subspan(sizeof(uint32_t));
    if (entries > data.size() / sizeof(MacAddress))
        return false;
    table = MacTable{};
    table.everything = entries > kMaxMacs;
    if (!table.everything) {
        table.addresses.resize(entries);
        if (entries != 0)
            std::memcpy(table.addresses.data(), data.data(), entries * sizeof(MacAddress));
        std::sort(table.addresses.begin(), table.addresses.end());
    }
    data = data.subspan(entries * sizeof(MacAddress));
    return true;
}

bool set_mac_tables(ControlState& state, Data data, const Limits& /*limits*/) {
    return take_mac_table(data, state.filter.unicast) &&
           take_mac_table(data, state.filter.multicast) && data.empty();
}

bool set_mac(ControlState& state, Data data, const Limits& /*limits*/) {
    std::copy(data.begin(), data.end(), state.filter.mac.begin());
    return true;
}

bool set_vlan(ControlState& state, Data data, bool pass) {
    const auto vlan = value_at<uint16_t>(data, 0);
    if (vlan >= kVlans)
        return false;
    state.filter.vlans.set(vlan, pass);
    return true;
}

bool set_pairs(ControlState& state, Data data, const Limits& limits) {
    state.active_pairs = value_at<uint16_t>(data, 0);
    return state.active_pairs != 0 && state.active_pairs <= limits.pairs;
}

bool set_guest_offloads(ControlState& state, Data data, const Limits& limits) {
    const auto wanted = value_at<uint64_t>(data, 0);
    const uint64_t all = guest_offload_bits(limits.features);
    state.offloads_off = all & ~wanted;
    return (wanted & ~all) == 0;
}

struct Command {
    uint8_t class_id;
    uint8_t command;
    uint64_t feature;  ///< must have been negotiated
    uint32_t min_bytes;
    uint32_t max_bytes;
    bool (*execute)(ControlState&, Data, const Limits&);
};

// 5.1.6.5.1 receive modes, 5.1.6.5.2 MAC addresses, 5.1.6.5.3 VLANs. Numbers: linux/virtio_net.h.
// 5.1.6.5.5 MQ_VQ_PAIRS_SET, 5.1.6.5.6 offloads.
constexpr Command kCommands[] = {
    {0,
     0,
     virtio::kFeatureCtrlRx,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.promiscuous, d); }},
    {0,
     1,
     virtio::kFeatureCtrlRx,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.all_multicast, d); }},
    {0,
     2,
     virtio::kFeatureCtrlRxExtra,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.all_unicast, d); }},
    {0,
     3,
     virtio::kFeatureCtrlRxExtra,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.no_multicast, d); }},
    {0,
     4,
     virtio::kFeatureCtrlRxExtra,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.no_unicast, d); }},
    {0,
     5,
     virtio::kFeatureCtrlRxExtra,
     1,
     1,
     [](auto& s, Data d, auto& /*limits*/) { return set_mode(s.filter.no_broadcast, d); }},
    {1, 0, virtio::kFeatureCtrlRx, 8, kMaxCommand, set_mac_tables},
    {1, 1, virtio::kFeatureCtrlMacAddr, 6, 6, set_mac},
    {2,
     0,
     virtio::kFeatureCtrlVlan,
     2,
     2,
     [](auto& s, Data d, auto& /*limits*/) { return set_vlan(s, d, true); }},
    {2,
     1,
     virtio::kFeatureCtrlVlan,
     2,
     2,
     [](auto& s, Data d, auto& /*limits*/) { return set_vlan(s, d, false); }},
    {4, 0, virtio::kFeatureMq, 2, 2, set_pairs},
    {5, 0, virtio::kFeatureCtrlGuestOffloads, 8, 8, set_guest_offloads},
};

}  // namespace

void ControlQueue::reset(uint64_t features, const MacAddress& mac) {
    features_ = features;
    state_ = ControlState{};
    state_.filter.mac = mac;
    state_.filter.vlan_filtering = (features & virtio::kFeatureCtrlVlan) != 0;
}

std::optional<ControlState> ControlQueue::propose(Data command) const {
    if (command.size() < 2)
        return std::nullopt;
    const Data data = command.subspan(2);
    const auto* const row =
        std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Command& c) {
            return c.class_id == command[0] && c.command == command[1];
        });
    if (row == std::end(kCommands) || (features_ & row->feature) == 0 ||
        data.size() < row->min_bytes || data.size() > row->max_bytes)
        return std::nullopt;
    ControlState next = state_;
    if (!row->execute(next, data, Limits{features_, max_pairs_}))
        return std::nullopt;
    return next;
}

std::optional<std::vector<uint8_t>> ControlQueue::report(Data command, size_t room) const {
    if (command.size() < 2 || command[0] != kStatsClass)
        return std::nullopt;
    const StatsScope scope{
        .features = features_,
        .pairs = max_pairs_,
        .commands = counters_.commands + 1,
        .refused = counters_.refused,
        .counters = counters_of_};
    return answer_stats(command[1], command.subspan(2), room, scope);
}

void ControlQueue::finish(std::optional<ControlState> proposed) {
    ++counters_.commands;
    if (proposed)
        state_ = std::move(*proposed);
    else
        ++counters_.refused;
}

ControlBurst::ControlBurst(ControlQueue& queue, ring::SplitRing& ring)
    : queue_(queue), ring_(ring), seen_(ring.peek(chains_)) {
}

const ControlState* ControlBurst::next() {
    for (; served_ != seen_; answer()) {
        const ring::Chain& chain = chains_[served_];
        proposed_.reset();
        if (chain.good && chain.writable_bytes != 0) {
            // A command that is too long is not copied. It is refused like an empty one.
            const bool fits = chain.readable_bytes <= kMaxCommand;
            command_.resize(fits ? chain.readable_bytes : 0);
            Cursor(chain.readable()).fetch(command_.data(), static_cast<uint32_t>(command_.size()));
            result_ = queue_.report(command_, chain.writable_bytes - sizeof kAckOk);
            proposed_ = queue_.propose(command_);
            if (proposed_)
                return &*proposed_;
        }
    }
    return nullptr;
}

void ControlBurst::finish(bool published) {
    if (!published)
        proposed_.reset();
    answer();
}

void ControlBurst::answer() {
    const ring::Chain& chain = chains_[served_];
    uint32_t written = 0;
    if (chain.good && chain.writable_bytes != 0) {
        const uint8_t ack = proposed_ || result_ ? kAckOk : kAckError;
        Cursor cursor(chain.writable());
        written = cursor.store(&ack, sizeof ack);
        if (result_) {
            written += cursor.store(result_->data(), static_cast<uint32_t>(result_->size()));
            queue_.finish_report();
        } else {
            queue_.finish(std::move(proposed_));
        }
    }
    ring_.complete({&written, 1});
    ++served_;
}

}  // namespace vduse::net
