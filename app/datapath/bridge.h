// SPDX-License-Identifier: BSD-3-Clause

// A learning bridge between several devices and ports: decides where each frame of a burst goes.
//
// The bridge knows its members by number only and sends nothing itself. `sort` puts the frames of a
// burst into one output per member, and the worker (lane.cc) sends the outputs in `order`.
//
//     link-local        dropped: 01:80:C2:00:00:01 to :0F (IEEE 802.1Q, table 8-1), and MAC control
//                       (EtherType 0x8808) to any address. PAUSE, LACP, LLDP and the like are meant
//                       for the other end of one cable. A guest's would stop or mislead the link
//                       partner of another member
//     known address     to its member; dropped if the frame came from that member
//     everything else   a copy to every member except the sender: unknown addresses, multicast,
//                       broadcast, and 01:80:C2:00:00:00, so that neighbouring bridges can detect
//                       loops
//
// A frame whose source is a group address or all zero is dropped, as in the kernel's bridge.
//
// A member may have an address of its own (BridgeMember::mac). A frame from another member with
// that source is forwarded, but nothing is learned from it. Otherwise a guest, or a loop behind a
// port, could attract its neighbour's frames. Members with the same own address (a bond in a guest,
// a migration on this host) may all use it. Own addresses are checked only when an address would be
// learned or would move, so known addresses cost nothing.
//
// A device only reads a frame and releases it at once, so its copy is the same mbuf with one more
// reference. A port's driver may keep an mbuf and write into it, so each port gets an mbuf that
// nobody else holds: the frame itself or a copy. Devices therefore come first in `order`: they have
// released a frame by the time the port gets it.
//
// Devices filter for themselves (lib/net/filter.h), frames longer than their MTU included; for
// ports the length is checked here.
//
// What a hostile guest could try: see mac_table.h. Broadcast: each frame costs at most one copy per
// port, in mbufs that the pool has anyway for the ports' tx queues. If the pool is empty, the copy
// is skipped and counted. Claim another station's address with a control queue command: the guest
// attracts no more than by sending from that address, but it would keep the address. So an address
// that only a guest claims is protected against other guests, not against stations behind a port.
//
// Threads: `create` on the main lcore, counters on any thread, the rest on the bridge's worker.
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
    /// The own address that the guest cannot change: the configured one, or a port's.
    std::optional<MacAddress> given_mac = {};
};

struct BridgeCounters {
    Counter flooded;      ///< frames without a known destination: sent to all other members
    Counter returned;     ///< frames for the member that they came from: dropped
    Counter moved;        ///< addresses seen on another member than before
    Counter not_learned;  ///< frames whose source did not fit in the table
    Counter too_short;    ///< no Ethernet header
    Counter too_long;     ///< copies not sent to a port because of its MTU
    Counter no_mbuf;      ///< copies not sent to a port because the pool was empty
    Counter link_local;   ///< link-local frames: dropped
    Counter bad_source;   ///< source is a group address or all zero: dropped
    Counter not_own;      ///< frames whose source is another member's own address
};

class Bridge {
  public:
    static constexpr uint16_t kBurst = 32;

    /// 2 to kMaxMembers members; `name` is unique in the process.
    static Result<std::unique_ptr<Bridge>> create(
        const std::string& name, std::span<const BridgeMember> members, uint64_t lifetime
    );

    /// Sorts `frames`, at most kBurst, which member `from` received. The outputs hold them until
    /// the next call. Copies are allocated from `pool`.
    void sort(
        unsigned from, std::span<rte_mbuf* const> frames, rte_mempool* pool, uint64_t now
    ) noexcept;
    /// The order in which outputs must be sent.
    [[nodiscard]] std::span<const uint8_t> order() const noexcept { return order_; }
    /// The caller must send it and owns the frames.
    [[nodiscard]] std::span<rte_mbuf*> output(unsigned member) noexcept {
        return {outputs_[member].frames.data(), outputs_[member].count};
    }
    /// One step of the ageing: a few table entries.
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
    uint64_t devices_ = 0;  ///< a bit for each member that is a device
    uint64_t all_ = 0;
    std::vector<uint8_t> order_;
    std::vector<Output> outputs_;
    std::unique_ptr<MacTable> mac_table_;
    BridgeCounters counters_;
};

}  // namespace vduse::app
