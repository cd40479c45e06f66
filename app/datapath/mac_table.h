// SPDX-License-Identifier: BSD-3-Clause

// Which member of a bridge a MAC address was last heard on.
//
// An rte_hash gives each address an entry, which says on which member and when it was last heard.
// Learning is shared by all VLANs (802.1Q: SVL): an address is the same in each of them.
//
// Nothing here waits or allocates after `create`. An entry older than the lifetime counts as
// unknown at once; it is given back by `sweep`, which looks at a few entries each time.
//
// What a hostile guest could try: send from more addresses than fit, so that others are never
// learned: each member may fill only its share of the table, the rest is counted and flooded to.
// Send from addresses that collide: the hash is seeded anew for each table. Send from another's
// address and so draw its frames: a learning bridge cannot tell that from an address that moved;
// it is counted. What a member may not have is for the bridge to say (bridge.h), between
// `refresh`, which tells that there is something to learn, and `learn`.
//
// Threads: the worker of the bridge, but for `size`, which any thread may call.
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

/// Members of one bridge at most: a set of them is one 64-bit word.
inline constexpr size_t kMaxMembers = 64;

enum class Learned : uint8_t {
    known,      ///< where it was
    added,      ///< not heard before, or not for a lifetime
    moved,      ///< it was on another member
    full,       ///< the table, or the member's share of it, is full
    no_source,  ///< a multicast address, or none at all: never learned
};

class MacTable {
  public:
    static constexpr uint32_t kCapacity = 16384;
    /// Entries that one `sweep` looks at.
    static constexpr uint32_t kSweep = 64;

    /// `name` is unique in the process; `lifetime` is in the unit of every `now`.
    static Result<std::unique_ptr<MacTable>> create(
        const std::string& name, uint32_t capacity, size_t members, uint64_t lifetime
    );
    MacTable(const MacTable&) = delete;
    MacTable& operator=(const MacTable&) = delete;
    ~MacTable();

    /// Heard again where it was. false: nothing is done, it is for `learn`.
    bool refresh(const MacAddress& mac, unsigned member, uint64_t now) noexcept;
    Learned learn(const MacAddress& mac, unsigned member, uint64_t now) noexcept;
    /// The member that leads to `mac`, if that is known.
    [[nodiscard]] std::optional<unsigned> find(const MacAddress& mac, uint64_t now) const noexcept;
    /// Forgets what is too old among the next entries.
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
    std::vector<Entry> entries_;  ///< by the hash table's position
    size_t next_ = 0;             ///< where the next sweep begins
    Counter size_;
};

}  // namespace vduse::app
