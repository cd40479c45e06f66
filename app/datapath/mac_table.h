// SPDX-License-Identifier: BSD-3-Clause

// The table of MAC addresses of a bridge: on which member an address was last seen.
//
// An rte_hash maps each address to an entry with the member and the time. Learning is shared by all
// VLANs (802.1Q: SVL): an address has the same entry in each of them.
//
// Nothing here waits or allocates after `create`. An entry older than the lifetime counts as
// unknown at once. `sweep`, which checks a few entries per call, removes it.
//
// What a hostile guest could try: send from more addresses than fit, so that others are never
// learned: each member may fill only its share of the table. Addresses beyond it are counted, and
// frames to them are flooded. Send from addresses that collide: each table has its own hash seed.
// Send from another station's address to attract its frames: a learning bridge cannot tell this
// from a station that moved, so it is counted. The bridge decides which addresses a member may not
// have (bridge.h), after `refresh` found that there is something to learn and before `learn`.
//
// Threads: the worker of the bridge; `size` on any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/counter.h"
#include "vduse/mac.h"
#include "vduse/result.h"

struct rte_hash;

namespace vduse::app {

/// The most members of one bridge: a set of them is one 64-bit word.
inline constexpr size_t kMaxMembers = 64;

enum class Learned : uint8_t {
    known,      ///< on the same member as before
    added,      ///< not seen before, or not for a lifetime
    moved,      ///< on another member than before
    full,       ///< the table, or the member's share of it, is full
    no_source,  ///< a multicast address, or none at all: never learned
};

class MacTable {
  public:
    static constexpr uint32_t kCapacity = 16384;
    /// Entries that one `sweep` checks.
    static constexpr uint32_t kSweep = 64;

    /// `name` is unique in the process; `lifetime` has the unit of every `now`.
    static Result<std::unique_ptr<MacTable>> create(
        const std::string& name, uint32_t capacity, size_t members, uint64_t lifetime
    );
    MacTable(const MacTable&) = delete;
    MacTable& operator=(const MacTable&) = delete;
    ~MacTable();

    /// Renews the entry of `mac` on `member`. Returns false if there is none, or if it is too old:
    /// then call `learn`.
    bool refresh(const MacAddress& mac, unsigned member, uint64_t now) noexcept;
    Learned learn(const MacAddress& mac, unsigned member, uint64_t now) noexcept;
    /// The member that leads to `mac`, if it is known.
    [[nodiscard]] std::optional<unsigned> find(const MacAddress& mac, uint64_t now) const noexcept;
    /// Removes old entries among the next kSweep.
    void sweep(uint64_t now) noexcept;
    [[nodiscard]] uint64_t size() const noexcept { return size_.read(); }

  private:
    struct Entry {
        uint64_t key = 0;
        bool used = false;
        uint8_t member = 0;
        uint64_t heard = 0;
    };
    MacTable(rte_hash* table, uint32_t capacity, size_t members, uint64_t lifetime);
    [[nodiscard]] bool is_old(const Entry& entry, uint64_t now) const noexcept {
        return now - entry.heard > lifetime_;
    }
    Learned add(uint64_t key, unsigned member, uint64_t now) noexcept;

    rte_hash* table_;
    uint64_t lifetime_;
    uint32_t share_;  ///< entries that one member may fill
    std::array<uint32_t, kMaxMembers> filled_{};
    std::vector<Entry> entries_;  ///< index: position in the hash table
    size_t next_ = 0;             ///< where the next sweep begins
    Counter size_;
};

}  // namespace vduse::app
