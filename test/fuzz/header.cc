// SPDX-License-Identifier: BSD-3-Clause

// Passes chains of any content through net::from_guest and net::to_guest, with a racing driver.
//
// The expected frames of from_guest are computed from the recorded fetches. A frame differs if the
// device reads a header again after the check, or uses a length that the driver has changed since.
#include "fuzz/dpdk.h"
#include "fuzz/watched_ring.h"
#include "net/from_guest.h"
#include "net/to_guest.h"
#include "vduse/drop.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

constexpr uint32_t kLongest = max_frame(1500);

struct Counts {
    explicit Counts(const net::QueueCounters& counters)
        : frames(counters.frames.read()), bytes(counters.bytes.read()) {
        for (size_t i = 0; i < drops.size(); ++i)
            drops[i] = counters.drops[i].read();
    }
    [[nodiscard]] uint64_t of(Drop reason) const { return drops[static_cast<size_t>(reason)]; }
    [[nodiscard]] uint64_t all_drops() const {
        uint64_t sum = 0;
        for (const uint64_t drop : drops)
            sum += drop;
        return sum;
    }

    uint64_t frames;
    uint64_t bytes;
    std::array<uint64_t, kDropReasons> drops{};
};

/// The frames expected from the completed chains, computed from the fetched bytes.
std::vector<std::vector<uint8_t>> expected_frames(const WatchedRing& ring) {
    std::vector<std::vector<uint8_t>> frames;
    const std::vector<uint8_t> data = ring.data();
    size_t at = 0;
    for (const ring::Chain& chain : ring.chains().first(ring.completed())) {
        if (!chain.good || chain.readable_bytes < net::kHeaderBytes + kEthernetHeader ||
            chain.readable_bytes > net::kHeaderBytes + kLongest)
            continue;
        // If the chain is one segment and the frame fits into one mbuf, only the two header bytes
        // that matter are fetched, and the frame, whatever they say.
        const uint32_t bytes = chain.readable_bytes - net::kHeaderBytes;
        const bool simple =
            chain.readable_segments == 1 && chain.writable_segments == 0 && bytes <= kMbufRoom;
        const size_t header = simple ? 2 : net::kHeaderBytes;
        check(at + header <= data.size(), "a header is fetched");
        const bool bad = (data[at] & net::kHeaderNeedsCsum) != 0 || data[at + 1] != net::kGsoNone;
        const size_t end = at + header + (bad && !simple ? 0 : bytes);
        check(end <= data.size(), "a frame is fetched");
        if (!bad)
            frames.emplace_back(
                data.begin() + static_cast<ptrdiff_t>(at + header),
                data.begin() + static_cast<ptrdiff_t>(end)
            );
        at = end;
    }
    check(at == data.size() || ring.completed() < ring.chains().size(), "and nothing else");
    return frames;
}

void from_guest(World& world, Input& input) {
    net::QueueCounters counters;
    std::array<rte_mbuf*, kMaxBurst> out{};
    world.settle();
    Race race(world, input);
    WatchedRing ring(world, race);
    const auto room = std::span(out).first(input.flag() ? input.below(64) : out.size());
    const uint16_t count = net::from_guest(ring, pool().get(), {kLongest}, room, counters);
    world.check_writes();

    const Counts counts(counters);
    check(count == counts.frames && count <= room.size(), "frames are counted");
    check(ring.completed() == counts.frames + counts.all_drops(), "every chain is counted once");
    check(
        ring.completed() == ring.chains().size() || counters.no_mbuf.read() == 1,
        "chains wait for nothing but mbufs"
    );
    check(ring.written() == 0, "nothing is written into a frame of the driver's");
    const auto expected = expected_frames(ring);
    check(expected.size() == count, "what is sane is delivered");
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
        check(rte_mbuf_check(out[i], 1, nullptr) == 0, "mbufs are sane");
        check(content(out[i]) == expected[i], "a frame is what was fetched");
        bytes += out[i]->pkt_len;
    }
    check(bytes == counts.bytes, "bytes are counted");
    rte_pktmbuf_free_bulk(out.data(), count);
}

void to_guest(World& world, Input& input) {
    net::QueueCounters counters;
    net::Filter filter;
    filter.promiscuous = input.flag();
    std::array<rte_mbuf*, 16> frames{};
    uint16_t offered = 0;
    for (const uint32_t wanted = input.below(frames.size() + 1); offered < wanted; ++offered) {
        const uint32_t length = input.flag() ? input.byte() : input.pick<uint32_t>({1514, 1523, 0});
        frames[offered] = pool().frame(pattern(length, offered), MbufPool::kRoom / 8);
        if (frames[offered] == nullptr)
            break;
    }
    std::vector<uint32_t> lengths;
    for (uint16_t i = 0; i < offered; ++i)
        lengths.push_back(frames[i]->pkt_len);

    world.settle();
    Race race(world, input);
    WatchedRing ring(world, race);
    const net::QueueRules rules{kLongest, input.flag(), &filter};
    const uint16_t done =
        net::to_guest(ring, rules, std::span<rte_mbuf* const>(frames.data(), offered), counters);
    ring.excuse_buffers();
    world.check_writes();

    check(done <= offered, "no frame is taken that was not offered");
    check(ring.data().empty(), "buffers for frames are not read");
    const Counts counts(counters);
    const auto is_short = [](uint32_t length) { return length < kEthernetHeader; };
    const auto runts =
        static_cast<uint64_t>(std::count_if(lengths.begin(), lengths.begin() + done, is_short));
    check(counts.of(Drop::too_short) >= runts, "short frames are counted");
    check(
        counts.frames + runts + counts.of(Drop::too_long) + counts.of(Drop::filtered) +
                counts.of(Drop::no_room) ==
            done,
        "every frame is counted once"
    );
    check(
        ring.written() == counts.bytes + counts.frames * net::kHeaderBytes,
        "the driver is told of as many bytes as there are"
    );
    rte_pktmbuf_free_bulk(frames.data() + done, offered - done);
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    pool();
    Input input(data, bytes);
    World world(input);
    while (!input.empty()) {
        switch (input.below(4)) {
            case 0:
                from_guest(world, input);
                break;
            case 1:
                to_guest(world, input);
                break;
            default:
                world.drive(input);
        }
        if (world.ring.miss() && input.flag())
            world.ring.deny(*world.ring.miss());
        check(pool().in_use() == 0, "no mbuf leaks");
    }
    from_guest(world, input);  // remaining chains, without a race
    return 0;
}
