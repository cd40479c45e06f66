// SPDX-License-Identifier: BSD-3-Clause

// net/device_stats.h: the driver's queries about its queues, and the answers.
#include "net/device_stats.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "virtio/features.h"

namespace vduse::test {
namespace {

using namespace net;
using namespace virtio;
using Bytes = std::vector<uint8_t>;
using Numbers = std::vector<uint64_t>;

constexpr uint8_t kQuery = 0;
constexpr uint8_t kGet = 1;
constexpr size_t kPlenty = 1 << 20;
constexpr uint64_t kTso = kFeatureHostTso4 | kFeatureHostTso6;
constexpr uint64_t kGuestTso = kFeatureGuestTso4 | kFeatureGuestTso6;
constexpr uint64_t kEverything =
    kFeatureDeviceStats | kFeatureCtrlVq | kFeatureMq | kFeatureCsum | kTso | kGuestTso;
/// The statistics types of each kind of queue, if all features are negotiated.
constexpr uint64_t kReceive = bit(0) | bit(2);
constexpr uint64_t kTransmit = bit(16) | bit(17) | bit(18);
constexpr uint64_t kControlTypes = bit(32);
constexpr uint16_t kPairs = 3;

class DeviceStats : public testing::Test {
  protected:
    /// One entry of a request.
    struct Wish {
        uint16_t queue;
        uint64_t types;
    };
    struct Record {
        uint8_t type;
        uint16_t queue;
        Numbers numbers;

        bool operator==(const Record&) const = default;
    };

    static Bytes request(const std::vector<Wish>& wishes) {
        Bytes bytes;
        for (const Wish& wish : wishes) {
            std::array<uint8_t, 16> entry{};
            std::memcpy(entry.data(), &wish.queue, sizeof wish.queue);
            std::memcpy(entry.data() + 8, &wish.types, sizeof wish.types);
            bytes.insert(bytes.end(), entry.begin(), entry.end());
        }
        return bytes;
    }
    std::optional<Bytes> answer(uint8_t command, const Bytes& data, size_t room = kPlenty) {
        return answer_stats(
            command,
            data,
            room,
            {.features = features,
             .pairs = kPairs,
             .commands = 10,
             .refused = 3,
             .counters = counters_of}
        );
    }
    bool refused(const std::vector<Wish>& wishes) { return !answer(kGet, request(wishes)); }
    uint64_t supported() {
        const auto bytes = answer(kQuery, {});
        EXPECT_TRUE(bytes);
        uint64_t types = 0;
        EXPECT_EQ(bytes->size(), sizeof types);
        std::memcpy(&types, bytes->data(), sizeof types);
        return types;
    }
    /// Parses an answer as Linux does, with known length.
    std::vector<Record> get(const std::vector<Wish>& wishes, size_t room = kPlenty) {
        const auto bytes = answer(kGet, request(wishes), room);
        EXPECT_TRUE(bytes);
        if (!bytes)
            return {};
        EXPECT_LE(bytes->size(), room);
        std::vector<Record> records;
        for (size_t at = 0; at < bytes->size();) {
            Record record{.type = (*bytes)[at], .queue = 0, .numbers = {}};
            uint16_t size = 0;
            std::memcpy(&record.queue, bytes->data() + at + 2, sizeof record.queue);
            std::memcpy(&size, bytes->data() + at + 6, sizeof size);
            EXPECT_EQ((*bytes)[at + 1], 0);
            EXPECT_GE(size, 8U);
            EXPECT_LE(at + size, bytes->size());
            if (size < 8 || at + size > bytes->size())
                return records;
            record.numbers.resize((size - 8U) / 8);
            std::memcpy(record.numbers.data(), bytes->data() + at + 8, size - 8U);
            records.push_back(record);
            at += size;
        }
        return records;
    }
    Numbers numbers_of(uint16_t queue, uint8_t type) {
        const auto records = get({{queue, bit(type)}});
        EXPECT_EQ(records.size(), 1U);
        return records.empty() ? Numbers{} : records[0].numbers;
    }

    uint64_t features = kEverything;
    std::array<QueueCounters, 2 * kPairs> counters;
    CountersOf counters_of = [this](uint32_t queue) -> const QueueCounters& {
        return counters.at(queue);
    };
};

TEST_F(DeviceStats, WhatThereIs) {
    EXPECT_EQ(supported(), kReceive | kTransmit | kControlTypes);
    EXPECT_FALSE(answer(kQuery, {0})) << "it has no data";
    EXPECT_FALSE(answer(kQuery, {}, 7));
    EXPECT_TRUE(answer(kQuery, {}, 8));
    for (unsigned command = 2; command < 256; ++command) {
        EXPECT_FALSE(answer(static_cast<uint8_t>(command), {}));
        EXPECT_FALSE(answer(static_cast<uint8_t>(command), request({{0, bit(0)}})));
    }
}

TEST_F(DeviceStats, WhatWasNotNegotiatedIsNeitherToldNorAnswered) {
    struct Row {
        uint64_t without;
        uint8_t type;
        uint16_t queue;
    };
    for (const Row& row : {Row{kFeatureCsum, 17, 1}, Row{kTso, 18, 1}, Row{kGuestTso, 2, 0}}) {
        features = kEverything & ~row.without;
        EXPECT_EQ(supported(), (kReceive | kTransmit | kControlTypes) & ~bit(row.type));
        EXPECT_TRUE(refused({{row.queue, bit(row.type)}}));
        features = kEverything;
        EXPECT_FALSE(refused({{row.queue, bit(row.type)}}));
    }
    // One of these features is enough.
    for (const uint64_t one :
         {kFeatureHostTso4, kFeatureHostTso6, kFeatureGuestTso4, kFeatureGuestTso6}) {
        features = kFeatureDeviceStats | kFeatureCtrlVq | one;
        const bool host = (one & kTso) != 0;
        EXPECT_EQ(supported(), bit(0) | bit(16) | bit(32) | bit(host ? 18 : 2));
    }
    features = kEverything & ~kFeatureDeviceStats;
    EXPECT_FALSE(answer(kQuery, {}));
    EXPECT_TRUE(refused({{0, bit(0)}}));
}

TEST_F(DeviceStats, NobodyCounts) {
    counters_of = {};
    EXPECT_FALSE(answer(kQuery, {}));
    EXPECT_TRUE(refused({{0, bit(0)}}));
}

// Each type for each queue: accepted if it fits the kind of queue, refused otherwise.
TEST_F(DeviceStats, Case155_EveryTypeOfEveryQueue) {
    for (unsigned queue = 0; queue < 65536; queue = queue < 20 ? queue + 1 : queue * 2 - 7) {
        uint64_t right = queue % 2 == 0 ? kReceive : kTransmit;
        if (queue >= 2 * kPairs)
            right = queue == 2 * kPairs ? kControlTypes : 0;
        for (unsigned type = 0; type < 64; ++type)
            EXPECT_EQ(
                refused({{static_cast<uint16_t>(queue), bit(type)}}), (right & bit(type)) == 0
            ) << queue
              << " " << type;
    }
}

TEST_F(DeviceStats, WithoutMultiqueueTheControlQueueIsQueue2) {
    features = kEverything & ~kFeatureMq;
    EXPECT_FALSE(refused({{0, kReceive}, {1, kTransmit}, {2, kControlTypes}}));
    EXPECT_TRUE(refused({{2, kReceive}}));
    for (uint16_t queue = 3; queue <= 6; ++queue)
        for (const uint64_t types : {kReceive, kTransmit, kControlTypes, uint64_t{0}})
            EXPECT_TRUE(refused({{queue, types}})) << queue;
}

TEST_F(DeviceStats, Case155_OneWrongEntryFailsAll) {
    const Wish right = {0, bit(0)};
    EXPECT_FALSE(refused({right, right, {6, bit(32)}}));
    for (const Wish& wrong :
         {Wish{7, bit(0)},
          Wish{7, 0},
          Wish{1, bit(0)},
          Wish{0, bit(0) | bit(1)},
          Wish{0, bit(63)}}) {
        EXPECT_TRUE(refused({wrong, right}));
        EXPECT_TRUE(refused({right, wrong}));
        EXPECT_TRUE(refused({right, right, wrong, right}));
    }
}

TEST_F(DeviceStats, Case155_EntriesInPart) {
    EXPECT_FALSE(answer(kGet, {}));
    const Bytes two = request({{0, bit(0)}, {1, bit(16)}});
    for (size_t bytes = 1; bytes < two.size(); ++bytes)
        EXPECT_EQ(
            answer(kGet, {two.begin(), two.begin() + static_cast<long>(bytes)}).has_value(),
            bytes == 16
        ) << bytes;
}

TEST_F(DeviceStats, ReservedWordsAreIgnored) {
    Bytes bytes = request({{0, bit(0)}});
    for (size_t i = 2; i < 8; ++i)
        bytes[i] = 0xff;
    EXPECT_TRUE(answer(kGet, bytes));
}

TEST_F(DeviceStats, WhatIsAskedForInOrder) {
    std::vector<std::pair<unsigned, unsigned>> got;
    for (const Record& record :
         get({{3, kTransmit}, {0, 0}, {6, bit(32)}, {4, bit(0)}, {3, bit(16)}}))
        got.emplace_back(record.queue, record.type);
    EXPECT_EQ(
        got,
        (std::vector<std::pair<unsigned, unsigned>>{
            {3, 16}, {3, 17}, {3, 18}, {6, 32}, {4, 0}, {3, 16}})
    );
}

TEST_F(DeviceStats, Case156_OnlyWholeRecordsFit) {
    constexpr size_t kBasic = 8 + 6 * 8;
    const std::vector<Wish> wishes = {{0, bit(0)}, {2, bit(0)}};
    for (const size_t room : {size_t{0}, kBasic - 1, kBasic, 2 * kBasic - 1, 2 * kBasic, kPlenty})
        EXPECT_EQ(get(wishes, room).size(), std::min<size_t>(room / kBasic, 2)) << room;
    EXPECT_TRUE(get({{1, kTransmit}}, 55).empty()) << "none that comes later and is shorter";
}

TEST_F(DeviceStats, Case156_AsLongAsACommandMayBe) {
    const std::vector<Wish> wishes(4095, {1, kTransmit});
    EXPECT_EQ(get(wishes).size(), size_t{4095} * 3);
}

TEST_F(DeviceStats, BasicsOfReceive) {
    QueueCounters& c = counters[2];
    c.frames.add(5);
    c.bytes.add(500);
    c.interrupts.add(2);
    for (size_t i = 0; i < kDropReasons; ++i)
        c.drops[i].add(1 + i);
    EXPECT_EQ(numbers_of(2, 0), (Numbers{0, 5, 500, 2, 36, 0}));
    EXPECT_EQ(numbers_of(0, 0), Numbers(6)) << "another queue's are its own";
}

TEST_F(DeviceStats, BasicsOfTransmit) {
    QueueCounters& c = counters[3];
    c.frames.add(5);
    c.bytes.add(500);
    c.interrupts.add(2);
    c.drop(Drop::malformed);
    c.drop(Drop::too_short);
    c.drop(Drop::too_long);
    c.drop(Drop::bad_header);
    EXPECT_EQ(numbers_of(3, 16), (Numbers{0, 5, 500, 2, 4, 2}));
    EXPECT_EQ(numbers_of(1, 16), Numbers(6));
}

TEST_F(DeviceStats, ChecksumsOfTransmit) {
    QueueCounters& c = counters[1];
    c.frames.add(10);
    c.csum.add(3);
    c.csum_done.add(2);
    EXPECT_EQ(numbers_of(1, 17), (Numbers{5, 5}));
    c.csum.add(6);
    EXPECT_EQ(numbers_of(1, 17), (Numbers{0, 11})) << "a burst is under way";
}

TEST_F(DeviceStats, Segments) {
    for (const size_t queue : {0U, 1U}) {
        QueueCounters& c = counters.at(queue);
        c.large.add(2);
        c.large_bytes.add(100000);
        c.segments.add(70);
        c.segment_bytes.add(104000);
    }
    EXPECT_EQ(numbers_of(1, 18), (Numbers{2, 100000, 70, 104000, 0, 0}));
    EXPECT_EQ(numbers_of(0, 2), (Numbers{2, 100000, 0, 0}));
}

TEST_F(DeviceStats, Commands) {
    EXPECT_EQ(numbers_of(6, 32), (Numbers{10, 7}));
}

}  // namespace
}  // namespace vduse::test
