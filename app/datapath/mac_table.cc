// SPDX-License-Identifier: BSD-3-Clause

// How it works: see mac_table.h. The position that rte_hash gives to a key is its index in
// `entries_`. An entry has a copy of its key, because rte_hash deletes by key.
#include "app/datapath/mac_table.h"
#include "vduse/mac.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_lcore.h>
#include <rte_random.h>

#include <cstring>

namespace vduse::app {
namespace {

/// rte_jhash reads keys by words, so it would read beyond the end of a 6-byte key.
uint64_t key_of(const MacAddress& mac) {
    uint64_t key = 0;
    std::memcpy(&key, mac.data(), mac.size());
    return key;
}

bool is_source(const MacAddress& mac) {
    return (mac[0] & 1) == 0 && mac != MacAddress{};
}

}  // namespace

Result<std::unique_ptr<MacTable>> MacTable::create(
    const std::string& name, uint32_t capacity, size_t members, uint64_t lifetime
) {
    rte_hash_parameters parameters{};
    parameters.name = name.c_str();
    parameters.entries = capacity;
    parameters.key_len = sizeof(uint64_t);
    parameters.hash_func = rte_jhash;
    parameters.hash_func_init_val = static_cast<uint32_t>(rte_rand());
    parameters.socket_id = static_cast<int>(rte_socket_id());
    rte_hash* const table = rte_hash_create(&parameters);
    if (table == nullptr)
        return Error{rte_errno, name + ": table of " + std::to_string(capacity) + " MAC addresses"};
    return std::unique_ptr<MacTable>(new MacTable(table, capacity, members, lifetime));
}

MacTable::MacTable(rte_hash* table, uint32_t capacity, size_t members, uint64_t lifetime)
    : table_(table),
      lifetime_(lifetime),
      share_(static_cast<uint32_t>(capacity / members)),
      entries_(static_cast<size_t>(rte_hash_max_key_id(table)) + 1) {
}

MacTable::~MacTable() {
    rte_hash_free(table_);
}

bool MacTable::refresh(const MacAddress& mac, unsigned member, uint64_t now) noexcept {
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0)
        return false;
    Entry& entry = entries_[static_cast<size_t>(position)];
    if (entry.member != member || is_old(entry, now))
        return false;
    entry.heard = now;
    return true;
}

Learned MacTable::learn(const MacAddress& mac, unsigned member, uint64_t now) noexcept {
    if (!is_source(mac))
        return Learned::no_source;
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0)
        return add(key, member, now);
    Entry& entry = entries_[static_cast<size_t>(position)];
    const bool old = is_old(entry, now);
    entry.heard = now;
    if (entry.member == member)
        return old ? Learned::added : Learned::known;
    --filled_[entry.member];
    ++filled_[member];
    entry.member = static_cast<uint8_t>(member);
    return old ? Learned::added : Learned::moved;
}

Learned MacTable::add(uint64_t key, unsigned member, uint64_t now) noexcept {
    if (filled_[member] >= share_)
        return Learned::full;
    const int32_t position = rte_hash_add_key(table_, &key);
    if (position < 0)
        return Learned::full;
    entries_[static_cast<size_t>(position)] = {key, true, static_cast<uint8_t>(member), now};
    ++filled_[member];
    size_.add(1);
    return Learned::added;
}

std::optional<unsigned> MacTable::find(const MacAddress& mac, uint64_t now) const noexcept {
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0 || is_old(entries_[static_cast<size_t>(position)], now))
        return std::nullopt;
    return entries_[static_cast<size_t>(position)].member;
}

void MacTable::sweep(uint64_t now) noexcept {
    for (uint32_t i = 0; i < kSweep; ++i) {
        Entry& entry = entries_[next_];
        next_ = (next_ + 1) % entries_.size();
        if (!entry.used || !is_old(entry, now))
            continue;
        rte_hash_del_key(table_, &entry.key);
        --filled_[entry.member];
        entry = {};
        size_.subtract(1);
    }
}

}  // namespace vduse::app
