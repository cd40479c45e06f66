// SPDX-License-Identifier: BSD-3-Clause

// Passes descriptor tables and rings of any content through ring::SplitRing, with a racing driver.
#include "fuzz/watched_ring.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

/// Peeks at up to `chains.size()` chains, in one call or first at the simple ones.
/// `buffers` are the segments of these.
uint16_t peek(
    WatchedRing& ring,
    Input& input,
    std::span<ring::Chain> chains,
    std::span<ring::Segment, ring::kWindow> buffers
) {
    if (!input.flag())
        return ring.peek(chains);
    const auto most = buffers.first(chains.size());
    const bool write = input.flag();
    const auto [count, more] = write ? ring.peek_simple<memory::Access::write>(most)
                                     : ring.peek_simple<memory::Access::read>(most);
    for (size_t i = 0; i < count; ++i)
        chains[i] =
            ring::Chain::of(buffers[i], write ? memory::Access::write : memory::Access::read);
    return more ? static_cast<uint16_t>(count + ring.peek_more(chains.subspan(count))) : count;
}

/// One burst: peeks, completes some of the chains and handles notifications.
void burst(World& world, Input& input) {
    std::array<ring::Segment, ring::kWindow> buffers;
    std::array<ring::Chain, ring::kWindow> chains;
    std::array<uint32_t, ring::kWindow> lengths{};
    world.settle();
    Race race(world, input);
    WatchedRing ring(world, race);
    const uint32_t most = input.flag() ? input.below(chains.size() + 1) : chains.size();
    const uint16_t seen = peek(ring, input, std::span(chains).first(most), buffers);
    const size_t count = input.flag() ? input.below(seen + 1U) : seen;
    for (size_t i = 0; i < count; ++i)
        lengths[i] = chains[i].writable_bytes;
    // Complete in two parts, because the control queue completes chains one by one.
    ring.complete(std::span<const uint32_t>(lengths).first(count / 2));
    ring.complete(std::span<const uint32_t>(lengths).subspan(count / 2, count - count / 2));
    check(!world.ring.should_interrupt() || count != 0, "no interrupt for nothing");
    check(!world.ring.should_interrupt(), "an interrupt is owed once");
    world.check_writes();
}

/// Actions of the control thread on a ring while its gate is closed.
void control(World& world, Input& input) {
    if (world.ring.miss() && input.flag())
        world.ring.deny(*world.ring.miss());
    switch (input.below(4)) {
        case 1:
            world.ring.refuse_kicks();
            return;
        case 2: {
            const auto idx = world.memory.load<uint16_t>(world.driver.layout().avail + 2);
            check(
                world.ring.request_kick() == (idx != world.ring.position().avail),
                "what came before the kick was asked for is seen"
            );
            return;
        }
        case 3: {
            const uint16_t position = world.ring.position().avail;
            check(world.reload() == ring::LoadError::none, "a ring can be loaded again");
            check(world.ring.position().avail == position, "and keeps its position");
            check(world.ring.fault() == ring::RingFault::none, "and forgets its fault");
            return;
        }
    }
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    Input input(data, bytes);
    World world(input);
    while (!input.empty()) {
        switch (input.below(4)) {
            case 0:
                burst(world, input);
                break;
            case 1:
                control(world, input);
                break;
            default:
                world.drive(input);
        }
    }
    burst(world, input);  // remaining chains, without a race
    return 0;
}
