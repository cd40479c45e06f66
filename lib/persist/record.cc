// SPDX-License-Identifier: BSD-3-Clause

// How it works: each section is a row of one table, with functions that write and read it. Checks
// that need all sections are done at the end (`sane`).
#include "persist/record.h"
#include "net/offload.h"
#include "vduse/limits.h"
#include "vduse/mac.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>

namespace vduse::persist {
namespace {

using Bytes = std::vector<uint8_t>;
using View = std::span<const uint8_t>;

// --- the encoding; see record.h before changing any of it

struct SectionHead {
    uint16_t id;
    uint16_t flags;
    uint32_t length;  ///< of the bytes that follow
};
static_assert(sizeof(SectionHead) == 8);

/// A flag: a reader that does not know the section must not adopt the device.
constexpr uint16_t kMustUnderstand = 1;

// `kFirst` is the size of a struct in its first version.
struct WireShape {
    static constexpr size_t kFirst = 16;
    uint64_t offered;
    uint32_t spaces;
    uint16_t pairs;
    uint8_t group_per_pair;  ///< 0 or 1
    uint8_t grouped;         ///< 0 or 1
};
static_assert(sizeof(WireShape) == 16);

struct WireOptions {
    static constexpr size_t kFirst = 8;
    uint32_t speed;
    uint16_t queue_size;
    uint16_t mtu;
};
static_assert(sizeof(WireOptions) == 8);

struct WireState {
    static constexpr size_t kFirst = 16;
    uint64_t features;
    uint32_t config_status;
    uint16_t suspended;  ///< 0 or 1
    uint16_t status;
};
static_assert(sizeof(WireState) == 16);

struct WireControl {
    static constexpr size_t kFirst = 12;
    uint32_t modes;  ///< a bit for each of kModes
    uint16_t active_pairs;
    MacAddress mac;
    uint32_t offloads_off;  ///< added together with offloads
};
static_assert(sizeof(WireControl) == 16);

// The other sections have a count, then so many elements, then later additions.
struct WireGroup {
    uint8_t asid;
    uint8_t sticky_asid;
};
static_assert(sizeof(WireGroup) == 2);

/// The modes, in the order of their bits in WireControl::modes.
constexpr std::array<bool net::Filter::*, 7> kModes = {
    &net::Filter::promiscuous,
    &net::Filter::all_multicast,
    &net::Filter::all_unicast,
    &net::Filter::no_multicast,
    &net::Filter::no_unicast,
    &net::Filter::no_broadcast,
    &net::Filter::vlan_filtering};

constexpr size_t kVlanWords = net::kVlans / 64;
constexpr size_t kReadyWords = std::tuple_size_v<decltype(State::ready_bits)>;

// --- bytes

template <class T>
void append(Bytes& bytes, const T& value) {
    static_assert(std::has_unique_object_representations_v<T>, "no padding in the file");
    const auto* const raw = reinterpret_cast<const uint8_t*>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
}

template <class T>
void append_all(Bytes& bytes, std::span<const T> values) {
    append(bytes, static_cast<uint32_t>(values.size()));
    for (const T& value : values)
        append(bytes, value);
}

/// Appends words of bits, without the zeros at the end. Appends nothing if all are zero.
template <size_t kCount>
void append_words(Bytes& bytes, const std::array<uint64_t, kCount>& words) {
    size_t count = kCount;
    while (count != 0 && words[count - 1] == 0)
        --count;
    if (count != 0)
        append_all(bytes, std::span(words).first(count));
}

/// Takes a T from the front, if there is a whole one.
template <class T>
std::optional<T> take(View& bytes) {
    if (bytes.size() < sizeof(T))
        return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    bytes = bytes.subspan(sizeof value);
    return value;
}

/// The known part of a section. Fields that it does not have yet are zero.
template <class Wire>
std::optional<Wire> known_part(View bytes) {
    static_assert(Wire::kFirst <= sizeof(Wire));
    if (bytes.size() < Wire::kFirst)
        return std::nullopt;
    Wire wire{};
    std::memcpy(&wire, bytes.data(), std::min(bytes.size(), sizeof wire));
    return wire;
}

/// Takes a count of at most `most`, then so many T, and calls `each(i, value)` for each. false: the
/// bytes are invalid.
template <class T, class Each>
bool take_all(View& bytes, size_t most, Each each) {
    const auto count = take<uint32_t>(bytes);
    if (!count || *count > most || *count > bytes.size() / sizeof(T))
        return false;
    for (uint32_t i = 0; i < *count; ++i)
        each(i, *take<T>(bytes));
    return true;
}

// --- the sections: `write_` appends nothing for defaults, `read_` returns false for invalid bytes

void write_shape(const Record& record, Bytes& bytes) {
    const Shape& shape = record.shape;
    append(
        bytes,
        WireShape{shape.offered, shape.spaces, shape.pairs, shape.group_per_pair, shape.grouped}
    );
}

bool read_shape(View bytes, Record& record) {
    const auto wire = known_part<WireShape>(bytes);
    if (!wire || wire->group_per_pair > 1 || wire->grouped > 1)
        return false;
    record.shape = {
        wire->pairs, wire->offered, wire->group_per_pair != 0, wire->spaces, wire->grouped != 0};
    return true;
}

void write_options(const Record& record, Bytes& bytes) {
    append(bytes, WireOptions{record.speed, record.queue_size, record.mtu});
}

bool read_options(View bytes, Record& record) {
    const auto wire = known_part<WireOptions>(bytes);
    if (!wire)
        return false;
    record.speed = wire->speed;
    record.queue_size = wire->queue_size;
    record.mtu = wire->mtu;
    return true;
}

void write_state(const Record& record, Bytes& bytes) {
    const State& state = record.state;
    append(bytes, WireState{state.features, record.config_status, state.suspended, state.status});
}

bool read_state(View bytes, Record& record) {
    const auto wire = known_part<WireState>(bytes);
    if (!wire || wire->suspended > 1 || wire->status > UINT8_MAX ||
        wire->config_status > UINT16_MAX)
        return false;
    record.state.features = wire->features;
    record.state.status = static_cast<uint8_t>(wire->status);
    record.state.suspended = wire->suspended != 0;
    record.config_status = static_cast<uint16_t>(wire->config_status);
    return true;
}

void write_groups(const Record& record, Bytes& bytes) {
    std::vector<WireGroup> groups;
    bool any = false;
    for (uint32_t i = 0; i < record.shape.groups(); ++i) {
        groups.push_back({record.state.asid[i], record.state.sticky_asid[i]});
        any = any || groups[i].asid != 0 || groups[i].sticky_asid != 0;
    }
    if (any)
        append_all<WireGroup>(bytes, groups);
}

bool read_groups(View bytes, Record& record) {
    return take_all<WireGroup>(bytes, kMaxGroups, [&](uint32_t i, const WireGroup& group) {
        record.state.asid[i] = group.asid;
        record.state.sticky_asid[i] = group.sticky_asid;
    });
}

void write_ready(const Record& record, Bytes& bytes) {
    append_words(bytes, record.state.ready_bits);
}

bool read_ready(View bytes, Record& record) {
    return take_all<uint64_t>(bytes, kReadyWords, [&](uint32_t i, uint64_t word) {
        record.state.ready_bits[i] = word;
    });
}

void write_inherited(const Record& record, Bytes& bytes) {
    std::array<uint16_t, kMaxQueues> distances{};
    std::ranges::transform(
        record.positions, distances.begin(), &ring::Position::inherited_in_flight
    );
    const auto inherited = std::span(distances).first(record.shape.queues());
    if (std::ranges::any_of(inherited, [](uint16_t distance) { return distance != 0; }))
        append_all<uint16_t>(bytes, inherited);
}

bool read_inherited(View bytes, Record& record) {
    return take_all<uint16_t>(bytes, kMaxQueues, [&](uint32_t i, uint16_t distance) {
        record.positions[i] = {.avail = distance};
    });
}

void write_control(const Record& record, Bytes& bytes) {
    const net::ControlState& control = record.control;
    uint32_t modes = 0;
    for (size_t i = 0; i < kModes.size(); ++i)
        modes |= uint32_t{control.filter.*kModes[i]} << i;
    const auto off = static_cast<uint32_t>(control.offloads_off);
    append(bytes, WireControl{modes, control.active_pairs, control.filter.mac, off});
}

bool read_control(View bytes, Record& record) {
    const auto wire = known_part<WireControl>(bytes);
    if (!wire || wire->modes >> kModes.size() != 0)
        return false;
    for (size_t i = 0; i < kModes.size(); ++i)
        record.control.filter.*kModes[i] = (wire->modes >> i & 1) != 0;
    record.control.active_pairs = wire->active_pairs;
    record.control.filter.mac = wire->mac;
    record.control.offloads_off = wire->offloads_off;
    return true;
}

template <net::MacTable net::Filter::*table>
void write_macs(const Record& record, Bytes& bytes) {
    const net::MacTable& macs = record.control.filter.*table;
    if (macs.addresses.empty() && !macs.everything)
        return;
    append(bytes, uint32_t{macs.everything});
    append_all<MacAddress>(bytes, macs.addresses);
}

template <net::MacTable net::Filter::*table>
bool read_macs(View bytes, Record& record) {
    net::MacTable& macs = record.control.filter.*table;
    const auto everything = take<uint32_t>(bytes);
    if (!everything || *everything > 1)
        return false;
    macs.everything = *everything != 0;
    return take_all<MacAddress>(
               bytes,
               net::kMaxMacs,
               [&](uint32_t /*i*/, const MacAddress& mac) { macs.addresses.push_back(mac); }
           ) &&
           std::ranges::is_sorted(macs.addresses);  // required by binary search
}

void write_vlans(const Record& record, Bytes& bytes) {
    const auto& vlans = record.control.filter.vlans;
    if (vlans.none())
        return;
    std::array<uint64_t, kVlanWords> words{};
    for (size_t vlan = 0; vlan < vlans.size(); ++vlan)
        words[vlan / 64] |= uint64_t{vlans[vlan]} << vlan % 64;
    append_words(bytes, words);
}

bool read_vlans(View bytes, Record& record) {
    return take_all<uint64_t>(bytes, kVlanWords, [&](uint32_t i, uint64_t word) {
        for (uint32_t bit = 0; bit < 64; ++bit)
            record.control.filter.vlans[64 * i + bit] = (word >> bit & 1) != 0;
    });
}

struct Section {
    uint16_t id;
    bool always;  ///< every record has it
    void (*write)(const Record& record, Bytes& bytes);
    bool (*read)(View bytes, Record& record);
};

/// An id is never reused for something else.
constexpr std::array<Section, 10> kSections = {
    {{1, true, write_shape, read_shape},
     {2, true, write_options, read_options},
     {3, true, write_state, read_state},
     {4, false, write_groups, read_groups},
     {5, false, write_ready, read_ready},
     {6, false, write_inherited, read_inherited},
     {7, true, write_control, read_control},
     {8, false, write_macs<&net::Filter::unicast>, read_macs<&net::Filter::unicast>},
     {9, false, write_macs<&net::Filter::multicast>, read_macs<&net::Filter::multicast>},
     {10, false, write_vlans, read_vlans}}};

constexpr size_t kCounted = sizeof(uint32_t);
static_assert(
    kSections.size() * sizeof(SectionHead) + sizeof(WireShape) + sizeof(WireOptions) +
        sizeof(WireState) + kCounted + kMaxGroups * sizeof(WireGroup) + kCounted +
        kReadyWords * sizeof(uint64_t) + kCounted + kMaxQueues * sizeof(uint16_t) +
        sizeof(WireControl) +
        2 * (sizeof(uint32_t) + kCounted + net::kMaxMacs * sizeof(MacAddress)) + kCounted +
        kVlanWords * sizeof(uint64_t) <=
    kMaxRecordBytes
);

/// Whether the sections are consistent with each other.
bool sane(const Record& record) {
    const Shape& shape = record.shape;
    const State& state = record.state;
    const auto in_space = [&](uint8_t asid) { return asid < shape.spaces; };
    if (shape.pairs < 1 || shape.pairs > kMaxPairs || shape.spaces < 1 ||
        shape.spaces > kMaxSpaces || (state.features & ~shape.offered) != 0 ||
        !std::ranges::all_of(state.asid, in_space) ||
        !std::ranges::all_of(state.sticky_asid, in_space) || record.control.active_pairs < 1 ||
        record.control.active_pairs > shape.pairs ||
        (record.control.offloads_off & ~net::guest_offload_bits(state.features)) != 0)
        return false;
    for (uint32_t bit = shape.queues(); bit < 64 * kReadyWords; ++bit)
        if (state.ready(bit))
            return false;
    return true;
}

}  // namespace

Bytes to_bytes(const Record& record) {
    Bytes bytes;
    for (const Section& section : kSections) {
        const size_t start = bytes.size();
        append(bytes, SectionHead{section.id, 0, 0});
        section.write(record, bytes);
        const SectionHead head{
            section.id, 0, static_cast<uint32_t>(bytes.size() - start - sizeof(SectionHead))};
        if (head.length == 0)
            bytes.resize(start);
        else
            std::memcpy(bytes.data() + start, &head, sizeof head);
    }
    return bytes;
}

Result<Record> from_bytes(View bytes) {
    const Error damaged{EBADMSG, "no record of a device"};
    Record record;
    std::array<bool, kSections.size()> seen{};
    while (!bytes.empty()) {
        const auto head = take<SectionHead>(bytes);
        if (!head || head->length > bytes.size())
            return damaged;
        const View section = bytes.first(head->length);
        bytes = bytes.subspan(head->length);
        const auto* const known = std::ranges::find(kSections, head->id, &Section::id);
        if (known == kSections.end()) {
            if ((head->flags & kMustUnderstand) != 0)
                return Error{EPROTONOSUPPORT, "section " + std::to_string(head->id)};
            continue;
        }
        bool& again = seen[static_cast<size_t>(known - kSections.begin())];
        if (again || !known->read(section, record))
            return damaged;
        again = true;
    }
    for (size_t i = 0; i < kSections.size(); ++i)
        if (kSections[i].always && !seen[i])
            return damaged;
    return sane(record) ? Result<Record>(record) : damaged;
}

}  // namespace vduse::persist
