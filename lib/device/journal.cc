// How it works: see journal.h. Slot `sequence % 2` has the newest record.
#include "device/journal.h"

#include <fcntl.h>
#include <rte_jhash.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace vduse::device {
namespace {

constexpr uint64_t kMagic = 0x4c4e524a45535544;  // "DUSEJRNL"
constexpr uint32_t kVersion = 2;

struct Slot {
    uint64_t magic = kMagic;
    uint32_t version = kVersion;
    uint32_t checksum = 0;  ///< of all that follows
    uint64_t sequence = 0;
    Record record;
};
static_assert(std::is_trivially_copyable_v<Slot>);

uint32_t checksum(const Slot& slot) {
    constexpr size_t kStart = offsetof(Slot, sequence);
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&slot);
    return rte_jhash(bytes + kStart, sizeof slot - kStart, kVersion);
}

bool sane(const Record& record) {
    const Shape& shape = record.shape;
    const ControlRecord& control = record.control;
    const auto in_space = [&](uint8_t asid) { return asid < shape.spaces; };
    return shape.pairs >= 1 && shape.pairs <= kMaxPairs && shape.spaces >= 1 &&
           shape.spaces <= kMaxSpaces && (record.state.features & ~shape.offered) == 0 &&
           std::ranges::all_of(record.state.asid, in_space) &&
           std::ranges::all_of(record.state.sticky_asid, in_space) &&
           control.unicast.count <= net::kMaxMacs && control.multicast.count <= net::kMaxMacs &&
           control.active_pairs >= 1 && control.active_pairs <= shape.pairs;
}

/// nullptr: neither slot is whole.
std::unique_ptr<Slot> newest_slot(int file) {
    std::unique_ptr<Slot> newest;
    for (off_t i = 0; i < 2; ++i) {
        auto slot = std::make_unique<Slot>();
        const auto at = i * static_cast<off_t>(sizeof(Slot));
        if (::pread(file, slot.get(), sizeof(Slot), at) == ssize_t{sizeof(Slot)} &&
            slot->magic == kMagic && slot->version == kVersion &&
            slot->checksum == checksum(*slot) && sane(slot->record) &&
            (!newest || slot->sequence >= newest->sequence))
            newest = std::move(slot);
    }
    return newest;
}

/// A lock of one byte, for the question who holds it.
struct flock mark(off_t byte) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return lock;
}

std::string path_of(const std::string& folder, const std::string& name) {
    return folder + "/" + name + ".journal";
}

/// In the order of ControlRecord::modes.
constexpr std::array<bool net::Filter::*, 7> kModes = {
    &net::Filter::promiscuous,
    &net::Filter::all_multicast,
    &net::Filter::all_unicast,
    &net::Filter::no_multicast,
    &net::Filter::no_unicast,
    &net::Filter::no_broadcast,
    &net::Filter::vlan_filtering};

void put(const net::MacTable& table, ControlRecord::Table& record) {
    record.count = static_cast<uint32_t>(table.addresses.size());
    record.everything = table.everything;
    std::ranges::copy(table.addresses, record.addresses.begin());
}

net::MacTable get(const ControlRecord::Table& record) {
    const std::span addresses = std::span(record.addresses).first(record.count);
    return {{addresses.begin(), addresses.end()}, record.everything};
}

}  // namespace

ControlRecord to_record(const net::ControlState& state) {
    ControlRecord record{};
    record.mac = state.filter.mac;
    for (size_t i = 0; i < kModes.size(); ++i)
        record.modes[i] = state.filter.*kModes[i];
    put(state.filter.unicast, record.unicast);
    put(state.filter.multicast, record.multicast);
    record.vlans = state.filter.vlans;
    record.active_pairs = state.active_pairs;
    return record;
}

net::ControlState from_record(const ControlRecord& record) {
    net::ControlState state;
    state.filter.mac = record.mac;
    for (size_t i = 0; i < kModes.size(); ++i)
        state.filter.*kModes[i] = record.modes[i];
    state.filter.unicast = get(record.unicast);
    state.filter.multicast = get(record.multicast);
    state.filter.vlans = record.vlans;
    state.active_pairs = record.active_pairs;
    return state;
}

Result<Journal> Journal::open(const std::string& folder, const std::string& name, bool hands_over) {
    const std::string path = path_of(folder, name);
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
        return Error{errno, "journal: mkdir " + folder};
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)
    );
    if (!file)
        return Error{errno, "journal: open " + path};
    file = let_go_of_early(std::move(file));  // before the locks: closing one descriptor ends them
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        const auto other = holder(folder, name);
        return Error{
            EBUSY,
            "another process has it" +
                (other ? ": pid " + std::to_string(other->pid) : std::string())};
    }
    for (off_t byte = 0; byte < (hands_over ? 2 : 1); ++byte) {
        struct flock lock = mark(byte);
        (void)::fcntl(file.get(), F_SETLK, &lock);
    }
    if (const int code = ::posix_fallocate(file.get(), 0, 2 * sizeof(Slot)); code != 0)
        return Error{code, "journal: room for " + path};
    return Journal(std::move(file));
}

std::optional<DeviceHolder> Journal::holder(const std::string& folder, const std::string& name) {
    const UniqueFd file(::open(path_of(folder, name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct flock first = mark(0);
    struct flock second = mark(1);
    if (!file || ::fcntl(file.get(), F_GETLK, &first) != 0 || first.l_type == F_UNLCK ||
        ::fcntl(file.get(), F_GETLK, &second) != 0)
        return std::nullopt;
    return DeviceHolder{first.l_pid, second.l_type != F_UNLCK};
}

void Journal::forget(const std::string& folder, const std::string& name) {
    ::unlink(path_of(folder, name).c_str());
}

std::optional<Record> Journal::read(const std::string& folder, const std::string& name) {
    const UniqueFd file(::open(path_of(folder, name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    const auto slot = file ? newest_slot(file.get()) : nullptr;
    return slot ? std::optional(slot->record) : std::nullopt;
}

std::optional<Record> Journal::load() {
    const auto slot = newest_slot(file_.get());
    if (!slot)
        return std::nullopt;
    sequence_ = slot->sequence;
    return slot->record;
}

bool Journal::save(const Record& record) {
    auto slot = std::make_unique<Slot>();
    slot->sequence = sequence_ + 1;
    slot->record = record;
    slot->checksum = checksum(*slot);
    const auto at = static_cast<off_t>(slot->sequence % 2 * sizeof(Slot));
    const ssize_t written = ::pwrite(file_.get(), slot.get(), sizeof(Slot), at);
    if (written != ssize_t{sizeof(Slot)}) {
        const int code = written < 0 ? errno : ENOSPC;
        (void)!::ftruncate(file_.get(), 0);
        errno = code;
        return false;
    }
    ++sequence_;
    return true;
}

}  // namespace vduse::device
