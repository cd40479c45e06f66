// SPDX-License-Identifier: BSD-3-Clause

// How it works: see journal.h. A record with number `sequence` is in slot `sequence % 2`.
#include "persist/journal.h"
#include "vduse/info.h"

#include <fcntl.h>
#include <rte_hash_crc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

namespace vduse::persist {
namespace {

constexpr uint64_t kMagic = 0x4c4e524a45535544;  // "DUSEJRNL"
constexpr uint32_t kVersion = 3;

/// The head of a slot, before the sections. The same in all versions from 3 on.
struct SlotHead {
    uint64_t magic;
    uint32_t version;
    uint32_t checksum;  ///< CRC-32C of everything that follows, up to the end of the sections
    uint64_t sequence;
    uint32_t length;  ///< of the sections
    uint32_t unused;
};
static_assert(
    sizeof(SlotHead) == 32 && std::has_unique_object_representations_v<SlotHead> &&
    offsetof(SlotHead, version) == 8 && offsetof(SlotHead, sequence) == 16
);

// The same in all versions from 3 on.
constexpr off_t kSlotRoom = 0x1'0000;
constexpr std::array<off_t, 2> kSlots = {0x1'0000, 0x2'0000};

constexpr off_t kOurs = sizeof(SlotHead) + kMaxRecordBytes;
static_assert(kOurs <= kSlotRoom);

/// The slots of version 2.
constexpr std::array<off_t, 2> kSlotsOfVersion2 = {0, 13752};
static_assert(2 * kSlotsOfVersion2[1] <= kSlots[0]);

using Bytes = std::vector<uint8_t>;

/// `slot`: head and sections.
uint32_t checksum(const Bytes& slot) {
    constexpr size_t kStart = offsetof(SlotHead, sequence);
    return rte_hash_crc(
        slot.data() + kStart, static_cast<uint32_t>(slot.size() - kStart), kVersion
    );
}

std::optional<SlotHead> read_head(int file, off_t at) {
    SlotHead head{};
    if (::pread(file, &head, sizeof head, at) != ssize_t{sizeof head} || head.magic != kMagic)
        return std::nullopt;
    return head;
}

Error of_version(uint32_t version) {
    return {
        EPROTONOSUPPORT,
        "is of version " + std::to_string(version) + ", and this program reads version " +
            std::to_string(kVersion)};
}

/// Code EPROTONOSUPPORT: this program cannot use it. Other codes: it is not whole.
Result<Record> read_slot(int file, off_t at, const SlotHead& head) {
    const Error damaged{EBADMSG, "a slot"};
    if (head.version != kVersion)
        return of_version(head.version);
    if (head.length > kSlotRoom - sizeof head)
        return damaged;
    Bytes slot(sizeof head + head.length);
    if (::pread(file, slot.data(), slot.size(), at) != static_cast<ssize_t>(slot.size()) ||
        checksum(slot) != head.checksum)
        return damaged;
    auto record = from_bytes(std::span(slot).subspan(sizeof head));
    if (!record && record.error().code == EPROTONOSUPPORT)
        return Error{
            EPROTONOSUPPORT,
            "has " + record.error().what +
                ", which this program does not know and must not pass over"};
    return record;
}

/// The record that was saved last, and its sequence number.
Journal::Reading read_newest(int file, uint64_t& sequence) {
    for (const off_t at : kSlotsOfVersion2)
        if (const auto head = read_head(file, at); head && head->version < kVersion)
            return of_version(head->version);
    Journal::Reading newest = std::optional<Record>();
    for (const off_t at : kSlots) {
        const auto head = read_head(file, at);
        if (!head || head->sequence < sequence)
            continue;
        auto record = read_slot(file, at, *head);
        if (!record && record.error().code != EPROTONOSUPPORT)
            continue;
        sequence = head->sequence;
        newest = record ? Journal::Reading(std::optional(std::move(*record))) : record.error();
    }
    return newest;
}

/// The same, with the name of the file in errors.
Journal::Reading read_newest(int file, const std::string& path, uint64_t& sequence) {
    auto newest = read_newest(file, sequence);
    if (!newest)
        return Error{newest.error().code, "its journal " + path + " " + newest.error().what};
    return newest;
}

/// Allocates room for all that will be written. Returns 0 or an errno value.
int make_room(int file) {
    for (const off_t at : kSlots)
        if (const int code = ::posix_fallocate(file, at, kOurs); code != 0)
            return code;
    return 0;
}

/// A lock of one byte, which shows its owner.
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

}  // namespace

Result<Journal> Journal::open(
    const std::string& folder, const std::string& name, bool supports_handover
) {
    std::string path = path_of(folder, name);
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
        return Error{errno, "journal: mkdir " + folder};
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)
    );
    if (!file)
        return Error{errno, "journal: open " + path};
    file = dup_to_high_fd(std::move(file));  // before the locks: closing one descriptor ends them
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        const auto other = owner(folder, name);
        return Error{
            EBUSY,
            "another process has it open" +
                (other ? ": pid " + std::to_string(other->pid) : std::string())};
    }
    for (off_t byte = 0; byte < (supports_handover ? 2 : 1); ++byte) {
        struct flock lock = mark(byte);
        (void)::fcntl(file.get(), F_SETLK, &lock);
    }
    if (const int code = make_room(file.get()); code != 0)
        return Error{code, "journal: room for " + path};
    return Journal(std::move(file), std::move(path));
}

std::optional<DeviceOwner> Journal::owner(const std::string& folder, const std::string& name) {
    const UniqueFd file(::open(path_of(folder, name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct flock first = mark(0);
    struct flock second = mark(1);
    if (!file || ::fcntl(file.get(), F_GETLK, &first) != 0 || first.l_type == F_UNLCK ||
        ::fcntl(file.get(), F_GETLK, &second) != 0)
        return std::nullopt;
    return DeviceOwner{first.l_pid, second.l_type != F_UNLCK};
}

void Journal::forget(const std::string& folder, const std::string& name) {
    ::unlink(path_of(folder, name).c_str());
}

Journal::Reading Journal::read(const std::string& folder, const std::string& name) {
    const std::string path = path_of(folder, name);
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file)
        return std::optional<Record>();
    uint64_t sequence = 0;
    return read_newest(file.get(), path, sequence);
}

Journal::Reading Journal::load() {
    sequence_ = 0;
    auto newest = read_newest(file_.get(), path_, sequence_);
    foreign_ = !newest;
    return newest;
}

bool Journal::save(const Record& record) {
    Bytes sections = to_bytes(record);
    if (sections == saved_)
        return true;
    if (!write(sections)) {
        const int code = errno;
        saved_.clear();
        (void)!::ftruncate(file_.get(), 0);
        errno = code;
        return false;
    }
    saved_ = std::move(sections);
    return true;
}

bool Journal::write(const Bytes& sections) {
    // Discard the old content first: to the next process it would still be the newest.
    if (std::exchange(foreign_, false)) {
        if (::ftruncate(file_.get(), 0) != 0)
            return false;
        if ((errno = make_room(file_.get())) != 0)
            return false;
        sequence_ = 0;
    }
    SlotHead head{kMagic, kVersion, 0, sequence_ + 1, static_cast<uint32_t>(sections.size()), 0};
    Bytes slot(sizeof head);
    slot.insert(slot.end(), sections.begin(), sections.end());
    std::memcpy(slot.data(), &head, sizeof head);
    head.checksum = checksum(slot);
    std::memcpy(slot.data(), &head, sizeof head);
    const ssize_t written =
        ::pwrite(file_.get(), slot.data(), slot.size(), kSlots[head.sequence % kSlots.size()]);
    if (written != static_cast<ssize_t>(slot.size())) {
        errno = written < 0 ? errno : ENOSPC;
        return false;
    }
    ++sequence_;
    return true;
}

}  // namespace vduse::persist
