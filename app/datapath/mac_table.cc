// How it works: see mac_table.h. The positions that rte_hash gives to keys index `slots_`; a slot
// has a copy of its key, for that is how rte_hash is told to forget it.
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

/// rte_jhash reads its keys by words, also behind the end of one of 6 bytes.
uint64_t key_of(const MacAddress& mac) {
    uint64_t key = 0;
    std::memcpy(&key, mac.data(), mac.size());
    return key;
}

bool is_source(const MacAddress& mac) {
    return (mac[0] & 1) == 0 && mac != MacAddress{};
}

}  // namespace

Result<std::unique_ptr<Stations>> Stations::create(
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
        return Error{rte_errno, name + ": table of " + std::to_string(capacity) + " stations"};
    return std::unique_ptr<Stations>(new Stations(table, capacity, members, lifetime));
}

Stations::Stations(rte_hash* table, uint32_t capacity, size_t members, uint64_t lifetime)
    : table_(table),
      lifetime_(lifetime),
      share_(static_cast<uint32_t>(capacity / members)),
      slots_(static_cast<size_t>(rte_hash_max_key_id(table)) + 1) {
}

Stations::~Stations() {
    rte_hash_free(table_);
}

bool Stations::refresh(const MacAddress& mac, unsigned member, uint64_t now) noexcept {
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0)
        return false;
    Slot& slot = slots_[static_cast<size_t>(position)];
    if (slot.member != member || is_old(slot, now))
        return false;
    slot.heard = now;
    return true;
}

Learned Stations::learn(const MacAddress& mac, unsigned member, uint64_t now) noexcept {
    if (!is_source(mac))
        return Learned::no_source;
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0)
        return add(key, member, now);
    Slot& slot = slots_[static_cast<size_t>(position)];
    const bool old = is_old(slot, now);
    slot.heard = now;
    if (slot.member == member)
        return old ? Learned::added : Learned::known;
    --filled_[slot.member];
    ++filled_[member];
    slot.member = static_cast<uint8_t>(member);
    return old ? Learned::added : Learned::moved;
}

Learned Stations::add(uint64_t key, unsigned member, uint64_t now) noexcept {
    if (filled_[member] >= share_)
        return Learned::full;
    const int32_t position = rte_hash_add_key(table_, &key);
    if (position < 0)
        return Learned::full;
    slots_[static_cast<size_t>(position)] = {key, true, static_cast<uint8_t>(member), now};
    ++filled_[member];
    size_.add(1);
    return Learned::added;
}

std::optional<unsigned> Stations::find(const MacAddress& mac, uint64_t now) const noexcept {
    const uint64_t key = key_of(mac);
    const int32_t position = rte_hash_lookup(table_, &key);
    if (position < 0 || is_old(slots_[static_cast<size_t>(position)], now))
        return std::nullopt;
    return slots_[static_cast<size_t>(position)].member;
}

void Stations::sweep(uint64_t now) noexcept {
    for (uint32_t i = 0; i < kSweep; ++i) {
        Slot& slot = slots_[next_];
        next_ = (next_ + 1) % slots_.size();
        if (!slot.used || !is_old(slot, now))
            continue;
        rte_hash_del_key(table_, &slot.key);
        --filled_[slot.member];
        slot = {};
        size_.add(~uint64_t{0});  // one less
    }
}

}  // namespace vduse::app
