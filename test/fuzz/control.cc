// SPDX-License-Identifier: BSD-3-Clause

// Passes commands of any content through the control queue: through a ring with a racing driver,
// and directly.
#include "fuzz/watched_ring.h"
#include "net/control_queue.h"
#include "vduse/limits.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using net::ControlState;

constexpr uint16_t kPairs = 4;
/// The longest statistics result: as many entries as a command may have, each with all types of its
/// queue.
constexpr uint32_t kMostResult = 64 * 1024 / 16 * (56 + 24 + 56);

bool same(const net::MacTable& a, const net::MacTable& b) {
    return a.addresses == b.addresses && a.everything == b.everything;
}
bool same(const ControlState& a, const ControlState& b) {
    const net::Filter& f = a.filter;
    const net::Filter& g = b.filter;
    return a.active_pairs == b.active_pairs && f.mac == g.mac && f.promiscuous == g.promiscuous &&
           f.all_multicast == g.all_multicast && f.all_unicast == g.all_unicast &&
           f.no_multicast == g.no_multicast && f.no_unicast == g.no_unicast &&
           f.no_broadcast == g.no_broadcast && f.vlan_filtering == g.vlan_filtering &&
           same(f.unicast, g.unicast) && same(f.multicast, g.multicast) && f.vlans == g.vlans;
}

/// The control queue, and the state that it has published to the session.
class Watched {
  public:
    explicit Watched(Input& input) {
        const uint64_t features = input.flag() ? ~uint64_t{0} : input.number<uint32_t>();
        queue.reset(features, {2, 0, 0, 0, 0, 1});
        statistics_ = (features & virtio::kFeatureDeviceStats) != 0;
        published_ = queue.state();
    }

    /// Executes one command directly. The input gives the readable part of its chain.
    void execute(Input& input) {
        refuse_ = input.below(8) == 7;
        std::vector<uint8_t> command = {
            static_cast<uint8_t>(input.below(9)), static_cast<uint8_t>(input.below(6))};
        const size_t bytes = input.pick<size_t>({0, 1, 2, 6, 8, 14, 16, 20, 32, 70});
        const auto rest = input.take(bytes);
        command.insert(command.end(), rest.begin(), rest.end());
        const ControlState before = queue.state();
        const net::ControlCounters counted = queue.counters();
        const size_t room = input.below(512);
        const auto result = queue.report(command, room);
        check(!result || result->size() <= room, "no more than there is room for");
        auto proposed = queue.propose(command);
        check(!result || !proposed, "a command asks, or changes something");
        check(same(queue.state(), before), "a proposal changes nothing");
        const bool accepted = proposed && publish(*proposed);
        queue.finish(accepted ? std::move(proposed) : std::nullopt);
        check(queue.counters().commands == counted.commands + 1, "a command is counted");
        check(
            queue.counters().refused == counted.refused + (accepted ? 0U : 1U),
            "and so is its refusal"
        );
        check(accepted || same(queue.state(), before), "a refused command changes nothing");
        check_state();
    }

    /// Serves the commands in the ring.
    void serve(World& world, Input& input) {
        refuse_ = input.below(8) == 7;
        const net::ControlCounters counted = queue.counters();
        const uint16_t from = world.ring.position().avail;
        world.settle();
        std::vector<ring::Chain> chains = look(world);
        const bool racing = input.flag();
        Input nothing(nullptr, 0);
        Race race(world, racing ? input : nothing);
        const uint16_t served = serve(world.ring);
        check(
            world.ring.position().avail == static_cast<uint16_t>(from + served),
            "served is returned"
        );
        check(world.driver.used_idx() == world.ring.position().avail, "and shown to the driver");
        const auto commands = queue.counters().commands - counted.commands;
        check(queue.counters().refused - counted.refused <= commands, "refusals are commands");
        if (!race.used_ring_disturbed())
            check_lengths(world, from, served, commands);
        if (!racing)
            check_acks(world, chains, served);
        check_state();
    }

    net::QueueCounters counters;
    net::ControlQueue queue{kPairs, [this](uint32_t index) -> const net::QueueCounters& {
                                check(index < 2 * kPairs, "a data queue that there is");
                                return counters;
                            }};

  private:
    uint16_t serve(ring::SplitRing& ring) {
        net::ControlBurst burst(queue, ring);
        while (const ControlState* proposed = burst.next())
            burst.finish(publish(*proposed));
        return burst.served();
    }
    bool publish(const ControlState& state) {
        check(state.active_pairs >= 1 && state.active_pairs <= kPairs, "pairs that there are");
        if (!refuse_)
            published_ = state;
        return !refuse_;
    }
    void check_state() const {
        check(same(queue.state(), published_), "what holds is what was published");
        for (const net::MacTable* table :
             {&queue.state().filter.unicast, &queue.state().filter.multicast}) {
            const auto& macs = table->addresses;
            check(macs.size() <= net::kMaxMacs, "tables are bounded");
            check(std::is_sorted(macs.begin(), macs.end()), "tables are sorted");
            check(macs.empty() || !table->everything, "a table of everything is empty");
        }
    }
    static void check_lengths(World& world, uint16_t from, uint16_t served, uint64_t commands) {
        uint64_t answered = 0;
        for (uint16_t i = 0; i < served && served <= world.ring.size(); ++i) {
            const uint32_t length = world.driver.used_at(static_cast<uint16_t>(from + i)).len;
            check(length <= 1 + kMostResult, "an answer is no longer than there is to say");
            answered += length != 0 ? 1U : 0U;
        }
        check(answered == commands, "every command is answered, and nothing else");
    }
    /// The chains that `serve` will see if nothing changes meanwhile. A peek takes nothing.
    static std::vector<ring::Chain> look(World& world) {
        std::array<ring::Chain, ring::kWindow> chains;
        const uint16_t seen = world.ring.peek(chains);
        return {chains.begin(), chains.begin() + seen};
    }
    /// Checks that only the first writable byte of each chain has changed, and holds an ack. With
    /// statistics any writable byte of a chain may change, and may hold data of an overlapping
    /// chain.
    void check_acks(World& world, std::span<const ring::Chain> chains, uint16_t served) const {
        check(served == chains.size(), "a burst is served");
        for (const ring::Chain& chain : chains) {
            if (chain.writable_bytes == 0)
                continue;
            if (statistics_) {
                for (const ring::Segment& segment : chain.writable())
                    world.excuse(segment.host, segment.bytes);
                continue;
            }
            const std::byte* const ack = chain.writable().front().host;
            // The driver may have placed the ack over memory that is written later, such as the
            // used ring or another chain.
            const std::byte* const used = world.driver.areas().used.host;
            const auto used_bytes = ring::used_bytes(world.ring.size(), world.options.event_idx);
            check(
                *ack <= std::byte{1} || (ack >= used && ack < used + used_bytes),
                "an answer is OK or ERR"
            );
            world.excuse(ack, 1);
        }
        world.check_writes();
    }

    ControlState published_;
    bool statistics_ = false;  ///< negotiated
    bool refuse_ = false;
};

/// Offers a chain {class, command, data | ack} like an honest driver.
void send(World& world, Input& input) {
    constexpr auto kCommand = World::kBuffers;
    const std::array<uint8_t, 2> head = {
        static_cast<uint8_t>(input.below(9)), static_cast<uint8_t>(input.below(6))};
    const auto data = input.take(input.pick<size_t>({0, 1, 2, 6, 8, 14, 16, 20, 32}));
    world.memory.write(kCommand, head.data(), head.size());
    world.memory.write(kCommand + head.size(), data.data(), data.size());
    const auto bytes = static_cast<uint32_t>(head.size() + data.size());
    world.driver.offer({{kCommand, bytes, false}, {World::kBehind, 1, true}});
    world.driver.publish();
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    Input input(data, bytes);
    World world(input);
    Watched control(input);
    while (!input.empty()) {
        switch (input.below(5)) {
            case 0:
                control.serve(world, input);
                break;
            case 1:
                control.execute(input);
                break;
            case 2:
                send(world, input);
                break;
            default:
                world.drive(input);
        }
    }
    control.serve(world, input);  // remaining chains, without a race
    return 0;
}
