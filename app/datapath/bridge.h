// SPDX-License-Identifier: BSD-3-Clause

// A learning bridge between several devices and ports: decides where each frame of a burst goes.
//
// It knows its members by number only and sends nothing itself: `sort` puts the frames of a burst
// into one output for each member, and the worker (switch.cc) sends the outputs, in `order`.
//
//     link-local        nowhere: 01:80:C2:00:00:01 to :0F (IEEE 802.1Q, table 8-1), and MAC control
//                       (EtherType 0x8808) to any address. PAUSE, LACP, LLDP and the like are meant
//                       for the other end of one cable, and a guest's would stop or mislead that
//                       of another member
//     known address     to its member; nowhere when that is where the frame came from
//     everything else   a copy to every member but the one it came from: unknown addresses,
//                       multicast, broadcast; 01:80:C2:00:00:00 too, so that bridges around us can
//                       see loops
//
// A frame whose source is a group address or all zero is dropped, as the kernel's bridge does.
//
// A member may have an address of its own (BridgeMember::mac). A frame from elsewhere with that
// source goes where it should, but nothing is learned from it: else a guest could draw its
// neighbour's frames, or a loop behind a port could. Members that have the same one (a bond in a
// guest, a migration on this host) may all use it. It is looked at only when an address would be
// learned or would move, so known addresses pay nothing.
//
// A device only reads what it is sent and is done with it at once, so its copy of a frame is the
// same mbuf with one more reference. A port's driver may keep an mbuf and may write into it, so
// each port gets frames that nobody else has: the frame itself, or a copy. That is why devices come
// first in `order`: they have let go of a frame when the port gets it.
//
// What a device does not want to receive its own filter refuses (lib/net/filter.h), longer frames
// than its MTU allows included; for ports that is looked at here.
//
// What a hostile guest could try: see mac_table.h. Broadcasts cost at most one copy for each port,
// in mbufs that the pool has anyway for ports' tx queues; when it has none, the copy is left out
// and counted. Take another's address for its own, by a command of its control queue: it gets
// nothing that it could not draw by sending from it, but it would keep it. So what only a guest
// says is its own counts against other guests, not against who is behind a port.
//
// Threads: `create` on the main lcore, counters for any thread, the rest for the bridge's worker.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/datapath/mac_table.h"
#include "base/counter.h"
#include "vduse/mac.h"

struct rte_mbuf;
struct rte_mempool;

namespace vduse::app {

struct BridgeMember {
    bool device = false;
    uint32_t longest = 0;  ///< frame in bytes, of a port
    /// The member's own address now, if it has one. Called by the worker: it must not wait.
    std::function<std::optional<MacAddress>()> mac = {};
    /// The one that it was given by who runs us, and not by a guest.
    std::optional<MacAddress> given_mac = {};
};

struct BridgeCounters {
    Counter flooded;      ///< frames that went to more than their own member, or would have
    Counter returned;     ///< frames for the member that they came from: dropped
    Counter moved;        ///< addresses heard on another member than before
    Counter not_learned;  ///< frames whose source found no room in the table
    Counter too_short;    ///< no Ethernet header
    Counter too_long;     ///< copies not sent to a port because of its MTU
    Counter no_mbuf;      ///< copies not sent to a port because the pool was empty
    Counter link_local;   ///< for the other end of a cable only: dropped
    Counter bad_source;   ///< from a group address or none: dropped
    Counter not_own;      ///< frames whose source is another member's own address
};

class Bridge {
  public:
    static constexpr uint16_t kBurst = 32;

    /// 2 to kMaxMembers members; `name` is unique in the process.
    static Result<std::unique_ptr<Bridge>> create(
        const std::string& name, std::span<const BridgeMember> members, uint64_t lifetime
    );

    /// Takes `frames`, kBurst at most, that member `from` received; outputs hold them until the
    /// next call. Copies come from `pool`.
    void sort(
        unsigned from, std::span<rte_mbuf* const> frames, rte_mempool* pool, uint64_t now
    ) noexcept;
    /// In which order outputs must be sent.
    [[nodiscard]] std::span<const uint8_t> order() const noexcept { return order_; }
    /// Whoever sends it owns the frames.
    [[nodiscard]] std::span<rte_mbuf*> output(unsigned member) noexcept {
        return {outputs_[member].frames.data(), outputs_[member].count};
    }
    /// A little of the ageing.
    void sweep(uint64_t now) noexcept { mac_table_->sweep(now); }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const BridgeCounters& counters() const noexcept { return counters_; }
    [[nodiscard]] uint64_t stations() const noexcept { return mac_table_->size(); }

  private:
    struct Output {
        std::array<rte_mbuf*, kBurst> frames;
        uint16_t count = 0;

        void add(rte_mbuf* frame) noexcept { frames[count++] = frame; }
    };
    Bridge(
        std::string name, std::span<const BridgeMember> members, std::unique_ptr<MacTable> mac_table
    );
    void learn(const MacAddress& source, unsigned from, uint64_t now) noexcept;
    [[nodiscard]] bool belongs_to_another(const MacAddress& source, unsigned from) const noexcept;
    [[nodiscard]] uint64_t targets(unsigned from, const rte_mbuf* frame, uint64_t now) noexcept;
    void to_ports(rte_mbuf* frame, uint64_t ports, rte_mempool* pool) noexcept;
    void deliver(rte_mbuf* frame, uint64_t targets, rte_mempool* pool) noexcept;

    std::string name_;
    std::vector<BridgeMember> members_;
    uint64_t devices_ = 0;  ///< a bit for each member that is one
    uint64_t all_ = 0;
    std::vector<uint8_t> order_;
    std::vector<Output> outputs_;
    std::unique_ptr<MacTable> mac_table_;
    BridgeCounters counters_;
};

}  // namespace vduse::app
