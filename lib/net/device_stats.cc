// SPDX-License-Identifier: BSD-3-Clause

#include "net/device_stats.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vduse/drop.h"
#include "virtio/features.h"

namespace vduse::net {
namespace {

constexpr uint8_t kQuery = 0;
constexpr uint8_t kGet = 1;

enum class Use : uint8_t { receive, transmit, control };

/// struct virtio_net_ctrl_queue_stats
struct Entry {
    uint16_t queue;
    std::array<uint16_t, 3> reserved;
    uint64_t types;
};
static_assert(sizeof(Entry) == 16);

/// struct virtio_net_stats_reply_hdr
struct Header {
    uint8_t type;
    uint8_t reserved;
    uint16_t queue;
    uint16_t reserved_too;
    uint16_t bytes;
};
static_assert(sizeof(Header) == 8);

/// The values that follow a Header.
struct Values {
    size_t count = 0;
    std::array<uint64_t, 6> numbers{};
};

Values values(std::initializer_list<uint64_t> numbers) {
    Values all{.count = numbers.size()};
    std::copy(numbers.begin(), numbers.end(), all.numbers.begin());
    return all;
}

uint64_t drops(const QueueCounters& counters, std::initializer_list<Drop> reasons) {
    uint64_t sum = 0;
    for (const Drop reason : reasons)
        sum += counters.drops[static_cast<size_t>(reason)].read();
    return sum;
}

uint64_t all_drops(const QueueCounters& counters) {
    uint64_t sum = 0;
    for (const Counter& drop : counters.drops)
        sum += drop.read();
    return sum;
}

Values rx_basic(const QueueCounters& c) {
    return values({0, c.frames.read(), c.bytes.read(), c.interrupts.read(), all_drops(c), 0});
}

Values tx_basic(const QueueCounters& c) {
    return values(
        {0,
         c.frames.read(),
         c.bytes.read(),
         c.interrupts.read(),
         all_drops(c),
         drops(c, {Drop::malformed, Drop::too_short})}
    );
}

Values tx_csum(const QueueCounters& c) {
    // Frames are counted at the end of a burst, checksums during it. So `needed` may be ahead.
    const uint64_t needed = c.csum.read() + c.csum_done.read();
    return values({c.frames.read() - std::min(c.frames.read(), needed), needed});
}

Values rx_gso(const QueueCounters& c) {
    return values({c.large.read(), c.large_bytes.read(), 0, 0});
}

Values tx_gso(const QueueCounters& c) {
    return values(
        {c.large.read(), c.large_bytes.read(), c.segments.read(), c.segment_bytes.read(), 0, 0}
    );
}

/// A type of statistics.
struct Type {
    uint8_t number;
    Use use;
    uint64_t features;                     ///< one of them must be negotiated; 0: no condition
    Values (*read)(const QueueCounters&);  ///< nullptr: type of the control queue
};

// Numbers: linux/virtio_net.h, VIRTIO_NET_STATS_TYPE_*.
constexpr Type kTypes[] = {
    {0, Use::receive, 0, rx_basic},
    {2, Use::receive, virtio::kFeatureGuestTso4 | virtio::kFeatureGuestTso6, rx_gso},
    {16, Use::transmit, 0, tx_basic},
    {17, Use::transmit, virtio::kFeatureCsum, tx_csum},
    {18, Use::transmit, virtio::kFeatureHostTso4 | virtio::kFeatureHostTso6, tx_gso},
    {32, Use::control, 0, nullptr},
};

bool is_negotiated(const Type& type, const StatsScope& scope) {
    return type.features == 0 || (type.features & scope.features) != 0;
}

/// The types that may be queried for a queue; none if the queue does not exist.
uint64_t types_of(uint32_t queue, const StatsScope& scope) {
    const uint32_t control = virtio::data_queues(scope.features, scope.pairs);
    if (queue > control)
        return 0;
    Use use = queue % 2 == 0 ? Use::receive : Use::transmit;
    if (queue == control)
        use = Use::control;
    uint64_t types = 0;
    for (const Type& type : kTypes)
        if (type.use == use && is_negotiated(type, scope))
            types |= virtio::bit(type.number);
    return types;
}

Entry entry_at(std::span<const uint8_t> data, size_t index) {
    Entry entry;
    std::memcpy(&entry, data.data() + index * sizeof entry, sizeof entry);
    return entry;
}

/// Whether each entry names an existing queue and types that it has.
bool is_sane(std::span<const uint8_t> data, const StatsScope& scope) {
    if (data.empty() || data.size() % sizeof(Entry) != 0)
        return false;
    for (size_t i = 0; i < data.size() / sizeof(Entry); ++i) {
        const Entry entry = entry_at(data, i);
        const uint64_t types = types_of(entry.queue, scope);
        if (types == 0 || (entry.types & ~types) != 0)
            return false;
    }
    return true;
}

/// Appends a record. Returns false if there is no room for it.
bool append(
    std::vector<uint8_t>& answer,
    size_t room,
    const Type& type,
    uint16_t queue,
    const Values& values
) {
    const size_t payload = values.count * sizeof(uint64_t);
    const size_t at = answer.size();
    const Header header{
        .type = type.number,
        .reserved = 0,
        .queue = queue,
        .reserved_too = 0,
        .bytes = static_cast<uint16_t>(sizeof(Header) + payload)};
    if (at + header.bytes > room)
        return false;
    answer.resize(at + header.bytes);
    std::memcpy(answer.data() + at, &header, sizeof header);
    std::memcpy(answer.data() + at + sizeof header, values.numbers.data(), payload);
    return true;
}

std::vector<uint8_t> records(std::span<const uint8_t> data, size_t room, const StatsScope& scope) {
    std::vector<uint8_t> answer;
    for (size_t i = 0; i < data.size() / sizeof(Entry); ++i) {
        const Entry entry = entry_at(data, i);
        for (const Type& type : kTypes) {
            if ((entry.types & virtio::bit(type.number)) == 0)
                continue;
            const Values numbers = type.read != nullptr
                                       ? type.read(scope.counters(entry.queue))
                                       : values({scope.commands, scope.commands - scope.refused});
            if (!append(answer, room, type, entry.queue, numbers))
                return answer;
        }
    }
    return answer;
}

/// struct virtio_net_stats_capabilities. Types whose feature was not negotiated are left out: Linux
/// queries all types in the answer, and one unsupported type would fail the whole query.
std::vector<uint8_t> capabilities(const StatsScope& scope) {
    uint64_t types = 0;
    for (const Type& type : kTypes)
        if (is_negotiated(type, scope))
            types |= virtio::bit(type.number);
    std::vector<uint8_t> answer(sizeof types);
    std::memcpy(answer.data(), &types, sizeof types);
    return answer;
}

}  // namespace

std::optional<std::vector<uint8_t>> answer_stats(
    uint8_t command, std::span<const uint8_t> data, size_t room, const StatsScope& scope
) {
    if ((scope.features & virtio::kFeatureDeviceStats) == 0 || !scope.counters)
        return std::nullopt;
    if (command == kQuery && data.empty() && room >= sizeof(uint64_t))
        return capabilities(scope);
    if (command == kGet && is_sane(data, scope))
        return records(data, room, scope);
    return std::nullopt;
}

}  // namespace vduse::net
