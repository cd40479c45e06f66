// SPDX-License-Identifier: BSD-3-Clause

// The process is killed in the middle of a burst (doc/hostile-cases.md, 129), once after each of
// its stores into guest memory. Another process then takes over the rings and may be killed too.
//
// Expected: each chain that the driver offered returns exactly once, and the frames that it sent
// and received add up one by one. A burst that was published is done: its caller has the frames, or
// died with them. A burst that was not published never happened.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "net/control_queue.h"
#include "net/from_guest.h"
#include "net/to_guest.h"
#include "support/eal.h"
#include "support/ring_rig.h"
#include "support/store_log.h"
#include "vduse/mac.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using memory::Iova;
using net::NetHeader;
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kSize = 16;
constexpr uint16_t kStart = 0xfff8;  ///< so that the indexes wrap during the test
constexpr uint32_t kLongest = 9720;
constexpr uint16_t kBurst = 6;
constexpr size_t kHeader = sizeof(NetHeader);
constexpr size_t kNumberAt = 6;  ///< offset of the frame's number, in its source address

/// Every third frame is long.
Bytes frame(unsigned number) {
    Bytes bytes = pattern(number % 3 == 0 ? 1400 : 60 + number, number);
    bytes[0] = 2;
    std::memcpy(&bytes[kNumberAt], &number, sizeof number);
    return bytes;
}
/// The number of a frame, if its content is intact.
std::optional<unsigned> number_of(const Bytes& bytes) {
    unsigned number = 0;
    if (bytes.size() < kNumberAt + sizeof number)
        return std::nullopt;
    std::memcpy(&number, &bytes[kNumberAt], sizeof number);
    return bytes == frame(number) ? std::optional(number) : std::nullopt;
}

/// The memory of chain `number`. Its indirect table is at the end.
constexpr Iova slot(unsigned number) {
    return RingRig::kBuffers + Iova{number} * 0x1000;
}
constexpr Iova table_of(unsigned number) {
    return slot(number) + 0xf00;
}

/// Features, and how often the process is killed.
using Way = std::tuple<bool, bool, bool, int>;

class Killed : public testing::TestWithParam<Way> {
  protected:
    const bool event_idx = std::get<0>(GetParam());
    const bool indirect = std::get<1>(GetParam());
    const bool mergeable = std::get<2>(GetParam());
    const int kills = std::get<3>(GetParam());

    const uint32_t size;
    const unsigned chains;  ///< total number of chains

    Killed() : Killed(kSize, std::get<3>(GetParam()) > 1 ? 14 : 28) {}
    Killed(uint32_t ring_size, unsigned all_chains) : size(ring_size), chains(all_chains) {}

    RingRig rig{{.size = size, .event_idx = event_idx, .indirect = indirect, .start = kStart}};
    const memory::Table* const table = rig.memory.table();
    Pool pool{256};
    net::QueueCounters counters;
    unsigned deaths = 0;

    /// What outlives a process: the driver and the expected results.
    struct World {
        explicit World(const MockDriver& honest) : driver(honest) {}

        MockDriver driver;
        unsigned offered = 0;                ///< chains offered
        unsigned given = 0;                  ///< frames given to the device for the driver
        std::map<uint32_t, unsigned> owned;  ///< heads in flight, and the numbers of their chains
        std::vector<unsigned> done;          ///< frames of published bursts
        std::vector<unsigned> got;           ///< frames that the driver received
    };

    /// Offers chain `world.offered`. Returns false if there are too few descriptors.
    virtual bool offer(World& world) = 0;
    /// The driver takes the returned chains.
    virtual void take(World& world) = 0;
    /// Runs one burst. Returns the frames that it moved.
    virtual std::vector<unsigned> burst(ring::SplitRing& ring, World& world) = 0;
    /// The frames of a burst that are done when `returned` of its chains are published.
    virtual std::vector<unsigned> published(const std::vector<unsigned>& moved, uint16_t returned) {
        return returned != 0 ? moved : std::vector<unsigned>();
    }
    virtual void check_end(const World& world) = 0;

    bool put(World& world, const std::vector<Buffer>& buffers, bool in_table) {
        const auto head =
            in_table
                ? world.driver.offer_indirect(buffers, rig.memory.address(table_of(world.offered)))
                : world.driver.offer(buffers);
        if (head)
            world.owned[*head] = world.offered++;
        return head.has_value();
    }

    /// A process takes over the ring and serves it to the end. While kills are left, the test also
    /// runs every variant in which the process dies after one of the stores of a burst.
    void live(World world, int left) {
        ring::SplitRing ring;
        bool started = false;
        while (!HasFailure()) {
            take(world);
            while (world.offered < chains && offer(world))
                ;
            world.driver.publish();
            if (world.driver.in_flight() == 0)
                break;
            const uint16_t used = world.driver.used_idx();
            const World before = world;
            std::optional<StoreLog> log;
            if (left > 0)
                log.emplace(rig.memory);
            if (!started) {
                ASSERT_EQ(
                    ring.load(table, world.driver.layout(), rig.options), ring::LoadError::none
                );
                ring.resume();
                ring.refuse_kicks();
            }
            const std::vector<unsigned> moved = burst(ring, world);
            ASSERT_NE(world.driver.used_idx(), used) << "it stands still";
            // The driver may not have been notified when the last process died.
            ASSERT_TRUE(ring.should_interrupt() || started);
            started = true;
            if (log) {
                log->end();
                check_stores(*log, before);
                for (size_t count = 0; count <= log->stores().size() && !HasFailure(); ++count) {
                    log->put_back(count);
                    World left_behind = before;
                    left_behind.given = world.given;  // frames in flight died with the process
                    const int returned = left_behind.driver.used_idx() - used;
                    append(left_behind.done, published(moved, static_cast<uint16_t>(returned)));
                    ++deaths;
                    live(std::move(left_behind), left - 1);
                }
                log->put_back(log->stores().size());
            }
            append(world.done, moved);
        }
        ASSERT_EQ(world.offered, chains);
        ASSERT_EQ(world.driver.strays(), 0U);
        ASSERT_EQ(world.driver.free(), size);
        check_end(world);
    }

    /// Checks that only the used ring and chains in flight are written.
    void check_stores(const StoreLog& log, const World& world) {
        for (const StoreLog::Store& store : log.stores()) {
            const std::byte* const used = world.driver.areas().used.host;
            const auto bytes = ring::used_bytes(size, event_idx);
            if (store.host >= used && store.host + store.bytes.size() <= used + bytes)
                continue;
            const bool owned = std::ranges::any_of(world.owned, [&](const auto& chain) {
                const std::byte* const start = rig.memory.host(slot(chain.second));
                return store.host >= start && store.host + store.bytes.size() <= start + 0xf00;
            });
            ASSERT_TRUE(owned);
        }
    }

    static void append(std::vector<unsigned>& list, const std::vector<unsigned>& more) {
        list.insert(list.end(), more.begin(), more.end());
    }
};

std::string name_of(const testing::TestParamInfo<Way>& info) {
    const auto [event_idx, indirect, mergeable, kills] = info.param;
    return std::string(event_idx ? "EventIdx" : "Flags") + (indirect ? "Indirect" : "") +
           (mergeable ? "Mergeable" : "") + (kills > 1 ? "Twice" : "");
}

// ---- from the guest

class KilledFromGuest : public Killed {
  protected:
    static bool is_bad(unsigned number) { return number % 7 == 5; }

    bool offer(World& world) override {
        const unsigned number = world.offered;
        const Bytes bytes = frame(number);
        const auto total = static_cast<uint32_t>(kHeader + bytes.size());
        const Iova at = slot(number);
        rig.memory.store(at, NetHeader{});
        rig.memory.write(at + kHeader, bytes.data(), bytes.size());
        if (is_bad(number))
            return put(world, {{at, 9, false}}, false);
        if (number % 4 == 1)
            return put(
                world, {{at, 12, false}, {at + 12, 20, false}, {at + 32, total - 32, false}}, false
            );
        if (number % 4 == 2)
            return put(world, {{at, 12, false}, {at + 12, total - 12, false}}, indirect);
        return put(world, {{at, total, false}}, false);
    }
    void take(World& world) override {
        while (const auto used = world.driver.take_used()) {
            ASSERT_TRUE(world.owned.contains(used->id));
            world.owned.erase(used->id);
        }
    }
    std::vector<unsigned> burst(ring::SplitRing& ring, World& /*world*/) override {
        std::array<rte_mbuf*, kBurst> mbufs;
        const uint16_t count = net::from_guest(ring, pool.get(), {kLongest}, mbufs, counters);
        std::vector<unsigned> numbers;
        for (uint16_t i = 0; i < count; ++i) {
            const auto number = number_of(content(mbufs[i]));
            EXPECT_TRUE(number) << "it is not whole";
            numbers.push_back(number.value_or(0));
        }
        rte_pktmbuf_free_bulk(mbufs.data(), count);
        return numbers;
    }
    void check_end(const World& world) override {
        std::vector<unsigned> all;
        for (unsigned number = 0; number < chains; ++number)
            if (!is_bad(number))
                all.push_back(number);
        ASSERT_EQ(world.done, all) << "none lost, none twice, in order";
    }
};

TEST_P(KilledFromGuest, Case129_AtEveryStore) {
    live(World(rig.driver), kills);
    EXPECT_GT(deaths, kills > 1 ? 300U : 30U);
}
INSTANTIATE_TEST_SUITE_P(
    All,
    KilledFromGuest,
    testing::Values(
        Way{false, false, false, 1},
        Way{true, false, false, 1},
        Way{false, true, false, 1},
        Way{true, true, false, 2}
    ),
    name_of
);

// ---- to the guest

class KilledToGuest : public Killed {
  protected:
    using Killed::Killed;

    net::Filter filter;

    /// Whether the chain is too short for any frame.
    static bool is_unfit(unsigned number) { return number % 9 == 4; }

    /// The buffers of chain `number`.
    [[nodiscard]] virtual std::vector<Buffer> buffers(unsigned number) const {
        const Iova at = slot(number);
        const uint32_t room = mergeable ? 600 : 1500;
        if (is_unfit(number))
            return {{at, 5, true}};
        if (number % 3 == 1)
            return {{at, 7, true}, {at + 7, 40, true}, {at + 47, room - 47, true}};
        return {{at, room, true}};
    }
    bool offer(World& world) override {
        return put(world, buffers(world.offered), indirect && world.offered % 2 == 1);
    }
    std::vector<unsigned> burst(ring::SplitRing& ring, World& world) override {
        std::vector<rte_mbuf*> frames;
        std::vector<unsigned> numbers;
        // After the last chain, skip long frames: they would wait forever for more chains.
        const bool last = world.offered == chains;
        while (frames.size() < kBurst) {
            const unsigned number = world.given++;
            if (last && number % 3 == 0)
                continue;
            frames.push_back(pool.frame(frame(number), number % 2 == 0 ? 50 : MbufPool::kRoom));
            numbers.push_back(number);
        }
        const net::QueueRules rules{kLongest, mergeable, &filter};
        const uint16_t taken = net::to_guest(ring, rules, std::span(frames), counters);
        rte_pktmbuf_free_bulk(frames.data() + taken, static_cast<unsigned>(frames.size()) - taken);
        numbers.resize(taken);
        return numbers;
    }
    void take(World& world) override {
        while (const auto first = world.driver.take_used()) {
            Bytes bytes = take_chain(world, *first);
            if (bytes.empty())
                continue;
            ASSERT_GE(bytes.size(), kHeader);
            NetHeader header;
            std::memcpy(&header, bytes.data(), sizeof header);
            for (unsigned i = 1; i < header.num_buffers; ++i) {
                const auto more = world.driver.take_used();
                ASSERT_TRUE(more) << "a frame is published in one piece";
                const Bytes part = take_chain(world, *more);
                bytes.insert(bytes.end(), part.begin(), part.end());
            }
            bytes.erase(bytes.begin(), bytes.begin() + kHeader);
            const auto number = number_of(bytes);
            ASSERT_TRUE(number) << "it is not whole";
            world.got.push_back(*number);
        }
    }
    Bytes take_chain(World& world, const ring::UsedElement& used) {
        Bytes bytes;
        EXPECT_TRUE(world.owned.contains(used.id));
        const unsigned number = world.owned[used.id];
        world.owned.erase(used.id);
        EXPECT_TRUE(used.len != 0 || is_unfit(number));
        for (const Buffer& buffer : buffers(number)) {
            const size_t run = std::min<size_t>(buffer.len, used.len - bytes.size());
            bytes.resize(bytes.size() + run);
            rig.memory.read(buffer.iova, bytes.data() + (bytes.size() - run), run);
        }
        return bytes;
    }
    void check_end(const World& world) override {
        ASSERT_EQ(world.got, world.done) << "what was published is there";
    }
};

TEST_P(KilledToGuest, Case129_AtEveryStore) {
    live(World(rig.driver), kills);
    EXPECT_GT(deaths, kills > 1 ? 1000U : 100U);
}
INSTANTIATE_TEST_SUITE_P(
    All,
    KilledToGuest,
    testing::Values(
        Way{false, false, false, 1},
        Way{true, false, false, 1},
        Way{false, true, false, 1},
        Way{false, false, true, 1},
        Way{true, true, true, 1},
        Way{true, false, true, 2}
    ),
    name_of
);

// ---- to the guest, a burst of more chains than a window has
//
// It is published in several parts. Each part has only whole frames.

class KilledBetweenWindows : public KilledToGuest {
  protected:
    static constexpr unsigned kEach = 29;  ///< buffers per frame
    static constexpr unsigned kFrames = 5;

    KilledBetweenWindows() : KilledToGuest(256, (kFrames + 1) * kEach) {}

    [[nodiscard]] std::vector<Buffer> buffers(unsigned number) const override {
        return {{slot(number), 50, true}};
    }
    std::vector<unsigned> burst(ring::SplitRing& ring, World& world) override {
        std::array<rte_mbuf*, kFrames> frames{};
        std::vector<unsigned> numbers;
        for (rte_mbuf*& mbuf : frames) {
            numbers.push_back(3 * world.given++);  // a long frame
            mbuf = pool.frame(frame(numbers.back()));
        }
        const net::QueueRules rules{kLongest, true, &filter};
        const uint16_t taken = net::to_guest(ring, rules, frames, counters);
        rte_pktmbuf_free_bulk(frames.data() + taken, kFrames - taken);
        numbers.resize(taken);
        return numbers;
    }
    std::vector<unsigned> published(const std::vector<unsigned>& moved, uint16_t returned)
        override {
        EXPECT_EQ(returned % kEach, 0U) << "whole frames only";
        EXPECT_LE(returned / kEach, moved.size());
        parts.insert(returned);
        return {moved.begin(), moved.begin() + returned / kEach};
    }
    std::set<uint16_t> parts;
};

TEST_P(KilledBetweenWindows, Case129_AtEveryStore) {
    live(World(rig.driver), kills);
    EXPECT_GT(deaths, 300U);
    EXPECT_GT(parts.size(), 3U) << "a burst was cut between two parts, too";
}
INSTANTIATE_TEST_SUITE_P(
    All,
    KilledBetweenWindows,
    testing::Values(Way{false, false, true, 1}, Way{true, false, true, 1}),
    name_of
);

// ---- the control queue
//
// A command that is in the journal but not answered yet is executed again.

class KilledControl : public testing::TestWithParam<bool> {
  protected:
    static constexpr uint64_t kFeatures = virtio::kControlFeatures | virtio::kFeatureVersion1;
    static constexpr uint16_t kPairs = 4;
    static constexpr Iova kAcks = RingRig::kBuffers + 0x8000;

    struct Command {
        Bytes bytes;
        uint8_t ack;
    };
    const std::vector<Command> commands = {
        {{4, 0, 2, 0}, 0},           // two pairs
        {{0, 0, 0}, 0},              // promiscuous off
        {{1, 1, 2, 0, 0, 0, 0}, 1},  // a truncated address
        {{1, 1, 2, 0, 0, 0, 0, 9}, 0},
        {{2, 0, 5, 0}, 0},  // adds VLANs 5 and 6, removes 5
        {{2, 0, 6, 0}, 0},
        {{2, 1, 5, 0}, 0},
        {{4, 0, 3, 0}, 0}};

    RingRig rig{{.size = 4, .event_idx = GetParam(), .start = 0xfffe}};
    const memory::Table* const table = rig.memory.table();

    struct World {
        explicit World(const MockDriver& honest) : driver(honest) {}

        MockDriver driver;
        size_t offered = 0;
        size_t answered = 0;
        net::ControlState journal;
    };
    /// The states written to the journal, each with the number of stores before it.
    using Journal = std::vector<std::pair<size_t, net::ControlState>>;
    unsigned deaths = 0;

    void live(World world, int left) {
        ring::SplitRing ring;
        Journal journal;
        std::optional<StoreLog> log;
        net::ControlQueue control(kPairs);
        control.restore(kFeatures, world.journal);
        ASSERT_EQ(ring.load(table, world.driver.layout(), rig.options), ring::LoadError::none);
        ring.resume();
        while (!HasFailure()) {
            while (const auto used = world.driver.take_used()) {
                ASSERT_EQ(used->len, 1U);
                ASSERT_EQ(
                    rig.memory.load<uint8_t>(kAcks + world.answered), commands[world.answered].ack
                );
                ++world.answered;
            }
            for (; world.offered < commands.size(); ++world.offered) {
                const Bytes& bytes = commands[world.offered].bytes;
                const Iova at = RingRig::kBuffers + world.offered * 0x100;
                rig.memory.write(at, bytes.data(), bytes.size());
                const auto length = static_cast<uint32_t>(bytes.size());
                if (!world.driver.offer({{at, length, false}, {kAcks + world.offered, 1, true}}))
                    break;
            }
            world.driver.publish();
            if (world.driver.in_flight() == 0)
                break;
            const World before = world;
            if (left > 0)
                log.emplace(rig.memory);
            journal.clear();
            net::ControlBurst burst(control, ring);
            while (const net::ControlState* proposed = burst.next()) {
                world.journal = *proposed;
                journal.emplace_back(log ? log->stores().size() : 0, *proposed);
                burst.finish(true);
            }
            ASSERT_NE(burst.served(), 0U);
            ring.request_kick();
            if (log) {
                log->end();
                kill(before, *log, journal, left);
                log.reset();
            }
        }
        ASSERT_EQ(world.driver.strays(), 0U);
        ASSERT_EQ(world.answered, commands.size());
        for (const net::ControlState& state : {world.journal, control.state()}) {
            ASSERT_EQ(state.active_pairs, 3);
            ASSERT_FALSE(state.filter.promiscuous);
            ASSERT_EQ(state.filter.mac, (MacAddress{2, 0, 0, 0, 0, 9}));
            ASSERT_EQ(state.filter.vlans.count(), 1U);
            ASSERT_TRUE(state.filter.vlans[6]);
        }
    }
    /// Kills the process after every store, and before and after every journal write in between.
    void kill(const World& before, const StoreLog& log, const Journal& journal, int left) {
        size_t written = 0;
        for (size_t count = 0; count <= log.stores().size() && !HasFailure(); ++count)
            for (bool more = true; more; written += more ? 1 : 0) {
                log.put_back(count);
                World left_behind = before;
                if (written != 0)
                    left_behind.journal = journal[written - 1].second;
                ++deaths;
                live(std::move(left_behind), left - 1);
                more = written < journal.size() && journal[written].first == count;
            }
        log.put_back(log.stores().size());
    }
};

TEST_P(KilledControl, Case129_AtEveryStore) {
    live(World(rig.driver), 2);
    EXPECT_GT(deaths, 500U);
}
INSTANTIATE_TEST_SUITE_P(All, KilledControl, testing::Bool());

}  // namespace
}  // namespace vduse::test
