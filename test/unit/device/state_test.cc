// SPDX-License-Identifier: BSD-3-Clause

// Enumerates device/state.h: every status in every kind of state with every message.
#include "device/state.h"
#include "vduse/limits.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <vector>

namespace vduse::test {
namespace {

using namespace device;
using namespace virtio;

constexpr uint64_t kBase = kFeatureVersion1 | kFeatureAccessPlatform;
constexpr uint64_t kOffered = kBase | kControlFeatures | kFeatureMac | kFeatureMergeable |
                              kFeatureEventIdx | kFeatureStatus | kFeatureMtu;
constexpr uint64_t kWithCvq = kBase | kFeatureCtrlVq;
constexpr uint64_t kWithMq = kWithCvq | kFeatureMq;
constexpr uint64_t kNotOffered = bit(34);

/// Two pairs and a control queue: 0 1 | 2 3 | 4.
constexpr Shape kShape{2, kOffered};
constexpr Shape kPlain{1, kBase | kFeatureMac};
/// The same as kShape, with three groups and three spaces.
constexpr Shape kPerPair{2, kOffered, true, 3};
/// The same as kShape on a kernel without groups.
constexpr Shape kUngrouped{2, kOffered, false, 1, false};

std::vector<State> states(const Shape& shape) {
    const uint8_t other = shape.spaces > 1 ? 1 : 0;
    std::vector<State> all;
    for (unsigned status = 0; status < 256; ++status)
        for (const bool suspended : {false, true})
            for (const uint64_t ready : {0U, 0b10101U})
                for (const uint64_t features : {uint64_t{0}, kBase, kWithCvq, kWithMq}) {
                    State state;
                    state.status = static_cast<uint8_t>(status);
                    state.suspended = suspended;
                    state.ready_bits[0] = ready;
                    state.features = features;
                    state.asid = {0, ready != 0 ? other : uint8_t{0}};
                    state.sticky_asid = {other, suspended ? other : uint8_t{0}};
                    all.push_back(state);
                }
    return all;
}

std::vector<Message> messages() {
    constexpr auto kBig = std::numeric_limits<uint32_t>::max();
    constexpr auto kTop = std::numeric_limits<uint64_t>::max();
    std::vector<Message> all = {Suspend{}, Unknown{}};
    for (const uint32_t queue : {0U, 1U, 4U, 5U, 255U, 257U, 65536U, kBig}) {
        all.emplace_back(GetQueueState{queue});
        all.emplace_back(SetQueueReady{queue, true});
        all.emplace_back(SetQueueReady{queue, false});
    }
    for (unsigned status = 0; status < 256; ++status)
        for (const uint64_t features : {uint64_t{0}, kBase, kWithMq, kWithMq | kNotOffered})
            for (const bool kernel_driver : {false, true})
                all.emplace_back(SetStatus{static_cast<uint8_t>(status), features, kernel_driver});
    for (const uint32_t asid : {0U, 1U, 2U, kBig}) {
        all.emplace_back(UpdateIotlb{0, kTop, asid});
        all.emplace_back(UpdateIotlb{5, 5, asid});
        all.emplace_back(UpdateIotlb{6, 5, asid});
        for (const uint32_t group : {0U, 1U, 2U, kBig})
            all.emplace_back(SetGroupAsid{group, asid});
    }
    return all;
}

/// Checks the rules of every step. Returns the first one that is broken, or nullptr: an EXPECT for
/// each of millions of steps would take minutes.
const char* broken_rule(const Shape& shape, const State& before, const Message& message) {
    const Step step = next(shape, before, message);
    const State& after = step.state;
    const auto unchanged_but = [&](State expected) { return after == expected; };
    if (step.ok != (step.veto == Veto::none) && std::holds_alternative<SetStatus>(message))
        return "only the veto refuses a status";
    if (!step.ok && !(after == before))
        return "a refused message changes nothing";
    if (!step.ok && (step.reset || step.negotiate || step.remap || step.moved))
        return "a refused message has no actions";
    if (after.asid != before.asid)
        for (const uint32_t asid : after.asid)
            if (asid >= shape.spaces)
                return "a group is in a space that exists";
    if (after.features != before.features && after.features != 0 && !step.negotiate)
        return "the session hears of new features";
    if ((after.features & ~shape.offered & ~before.features) != 0)
        return "nothing is negotiated that was not offered";

    if (const auto* m = std::get_if<SetStatus>(&message)) {
        if (m->status == 0) {
            State fresh;
            fresh.sticky_asid = before.sticky_asid;
            return step.ok && step.reset && after == fresh ? nullptr : "reset wins";
        }
        if (step.reset)
            return "only status 0 resets";
        if (step.ok && after.status != m->status)
            return "the status is recorded";
        // FEATURES_OK or DRIVER_OK is new.
        const bool asks = (m->status & ~before.status & 0x0c) != 0;
        if (asks && step.ok != (m->driver_features == kBase || m->driver_features == kWithMq))
            return "what was never offered, and what lacks VERSION_1, is vetoed";
        if (!asks && !step.ok)
            return "a status that asks for nothing is accepted";
        if ((m->status & 0x0c) == 0 && after.features != 0)
            return "no features before FEATURES_OK";
        if (after.ready_bits != before.ready_bits || after.suspended != before.suspended ||
            after.sticky_asid != before.sticky_asid)
            return "a status changes no queue";
        if (!m->kernel_driver && after.asid != before.asid)
            return "only the kernel's driver goes on in the sticky space";
        if (m->kernel_driver && step.negotiate && after.asid != before.sticky_asid)
            return "the kernel's driver goes on in the sticky space";
        return nullptr;
    }
    if (step.reset || step.negotiate)
        return "only a status resets and negotiates";
    if (const auto* m = std::get_if<GetQueueState>(&message))
        return step.ok == (m->queue < shape.queues()) && after == before ? nullptr : "get state";
    if (const auto* m = std::get_if<SetQueueReady>(&message)) {
        if (step.ok != (m->queue < shape.queues()))
            return "ready is refused for unknown queues only: refusing breaks the device";
        if (!step.ok)
            return nullptr;
        State expected = before;
        uint64_t& word = expected.ready_bits[m->queue / 64];
        const uint64_t bit = uint64_t{1} << (m->queue % 64);
        word = m->ready ? word | bit : word & ~bit;
        return unchanged_but(expected) ? nullptr : "ready changes one bit";
    }
    if (const auto* m = std::get_if<UpdateIotlb>(&message)) {
        if (step.ok != (m->asid < shape.spaces && m->first <= m->last))
            return "an update names a space and a range";
        if (step.ok && step.remap != m->asid)
            return "an update remaps its space";
        return unchanged_but(before) ? nullptr : "an update changes no state";
    }
    if (const auto* m = std::get_if<SetGroupAsid>(&message)) {
        if (step.ok != (m->group < shape.groups() && m->asid < shape.spaces))
            return "unknown groups and spaces are refused";
        if (!step.ok)
            return nullptr;
        State expected = before;
        const auto asid = static_cast<uint8_t>(m->asid);
        expected.asid[m->group] = asid;
        expected.sticky_asid[m->group] = asid;
        if (step.moved != (before.asid[m->group] != m->asid))
            return "moved says whether the space is another";
        return unchanged_but(expected) ? nullptr : "a move changes one group";
    }
    if (std::holds_alternative<Suspend>(message)) {
        State expected = before;
        expected.suspended = true;
        return step.ok && unchanged_but(expected) ? nullptr : "suspend";
    }
    return step.ok ? "unknown messages are refused" : nullptr;
}

class EveryStep : public testing::TestWithParam<Shape> {};

TEST_P(EveryStep, KeepsTheRules) {
    const auto all = messages();
    std::set<std::string> broken;
    for (const State& state : states(GetParam()))
        for (const Message& message : all)
            if (const char* rule = broken_rule(GetParam(), state, message))
                broken.insert(rule);
    EXPECT_EQ(broken, std::set<std::string>());
}

// All shapes offer the same features, so that the same messages are legal.
INSTANTIATE_TEST_SUITE_P(
    Shapes,
    EveryStep,
    testing::Values(kShape, kPerPair, kUngrouped, Shape{1, kOffered}, Shape{kMaxPairs, kOffered})
);

// ---- which queues run

State running(uint64_t features) {
    State state;
    state.status = 0x0f;
    state.features = features;
    state.ready_bits.fill(~uint64_t{0});
    return state;
}

std::vector<uint32_t> queues_that_run(const Shape& shape, const State& state) {
    std::vector<uint32_t> result;
    for (uint32_t queue = 0; queue < shape.queues(); ++queue)
        if (should_run(shape, state, queue))
            result.push_back(queue);
    return result;
}

using Queues = std::vector<uint32_t>;

TEST(ShouldRun, TheQueuesOfTheNegotiatedLayout) {
    EXPECT_EQ(queues_that_run(kShape, running(kWithMq)), (Queues{0, 1, 2, 3, 4}));
    EXPECT_EQ(queues_that_run(kShape, running(kWithCvq)), (Queues{0, 1, 2}));
    EXPECT_EQ(queues_that_run(kShape, running(kBase)), (Queues{0, 1}));
    EXPECT_EQ(queues_that_run(kPlain, running(kBase)), (Queues{0, 1}));
}

TEST(ShouldRun, NeedsReadyDriverOkAndNoSuspension) {
    for (const State& state : states(kShape))
        for (uint32_t queue = 0; queue < kShape.queues(); ++queue)
            if (should_run(kShape, state, queue)) {
                EXPECT_TRUE(state.ready(queue));
                EXPECT_NE(state.status & 0x04, 0);
                EXPECT_FALSE(state.suspended);
            }
    for (const auto& spoil : {
             +[](State& s) { s.status = 0x0b; },
             +[](State& s) { s.suspended = true; },
             +[](State& s) { s.ready_bits.fill(0); },
         }) {
        State state = running(kWithMq);
        spoil(state);
        EXPECT_EQ(queues_that_run(kShape, state), Queues{});
    }
}

// QEMU starts the control queue first and uses it before any data queue is ready.
TEST(ShouldRun, ControlQueueAlone) {
    State state = running(kWithMq);
    state.ready_bits.fill(0);
    state.ready_bits[0] = 0b10000;
    EXPECT_EQ(queues_that_run(kShape, state), Queues{4});
}

// Case 104: the largest device. Its last index is 256.
TEST(ShouldRun, Case104_LastQueueOfTheLargestDevice) {
    constexpr Shape kLargest{kMaxPairs, kOffered};
    EXPECT_EQ(kLargest.queues(), kMaxQueues);
    State state = running(kWithMq);
    EXPECT_EQ(queues_that_run(kLargest, state).size(), size_t{kMaxQueues});
    const Step step = next(kLargest, state, SetQueueReady{256, false});
    EXPECT_TRUE(step.ok);
    EXPECT_FALSE(step.state.ready(256));
    EXPECT_TRUE(step.state.ready(255));
    EXPECT_TRUE(next(kLargest, state, GetQueueState{256}).ok);
    EXPECT_FALSE(next(kLargest, state, GetQueueState{257}).ok);
}

// ---- groups and spaces

TEST(Groups, ControlQueueIsTwoWithoutMultiqueue) {
    EXPECT_EQ(control_queue(kShape, kWithMq), 4U);
    EXPECT_EQ(control_queue(kShape, kWithCvq), 2U);
    EXPECT_EQ(control_queue(kShape, kBase), std::nullopt);
    EXPECT_EQ(control_queue(kPlain, kWithCvq), std::nullopt) << "not offered";
    EXPECT_EQ(control_queue(Shape{1, kOffered}, kWithMq), 2U);
}

// QEMU's probe: with all features negotiated, queue 2N is in its own group.
TEST(Groups, QemuProbeFindsTheControlQueueAlone) {
    for (const uint64_t features : {uint64_t{0}, kOffered, kWithMq}) {
        EXPECT_EQ(group_of(kShape, features, 4), 1U);
        for (uint32_t queue = 0; queue < 4; ++queue)
            EXPECT_EQ(group_of(kShape, features, queue), 0U);
    }
}

TEST(Groups, FollowTheNegotiatedFeatures) {
    EXPECT_EQ(group_of(kShape, kWithCvq, 2), 1U);
    EXPECT_EQ(group_of(kShape, kWithCvq, 0), 0U);
    EXPECT_EQ(group_of(kShape, kWithCvq, 1), 0U);
    EXPECT_EQ(group_of(kShape, kBase, 2), 0U);
    EXPECT_EQ(group_of(kPlain, kBase, 1), 0U);
}

TEST(Groups, OneForEachPair) {
    EXPECT_EQ(kPerPair.groups(), 3U);
    std::vector<uint32_t> groups;
    for (uint32_t queue = 0; queue < kPerPair.queues(); ++queue)
        groups.push_back(group_of(kPerPair, kWithMq, queue));
    EXPECT_EQ(groups, (std::vector<uint32_t>{0, 0, 1, 1, 2}));
    EXPECT_EQ(group_of(kPerPair, kWithCvq, 2), 2U) << "the control queue, without MQ";
    constexpr Shape kMost{kMaxPairs, kOffered, true, kMaxSpaces};
    EXPECT_EQ(kMost.groups(), kMaxGroups);
    EXPECT_EQ(group_of(kMost, kWithMq, kMaxQueues - 1), kMaxGroups - 1);
    const State last = next(kMost, State{}, SetGroupAsid{kMaxGroups - 1, kMaxSpaces - 1}).state;
    EXPECT_EQ(space_of(kMost, last, kMaxQueues - 1), kMaxSpaces - 1);
}

TEST(Groups, OfPairsMoveOneByOne) {
    const State state = next(kPerPair, State{}, SetGroupAsid{1, 2}).state;
    std::vector<uint32_t> spaces;
    for (uint32_t queue = 0; queue < kPerPair.queues(); ++queue)
        spaces.push_back(space_of(kPerPair, state, queue));
    EXPECT_EQ(spaces, (std::vector<uint32_t>{0, 0, 2, 2, 0}));
}

TEST(Groups, AKernelWithoutThemHasOneOfEach) {
    EXPECT_EQ(kUngrouped.queues(), kShape.queues());
    EXPECT_EQ(kUngrouped.groups(), 1U);
    for (const uint64_t features : {uint64_t{0}, kWithCvq, kWithMq})
        for (uint32_t queue = 0; queue < kUngrouped.queues(); ++queue)
            EXPECT_EQ(group_of(kUngrouped, features, queue), 0U);
    EXPECT_FALSE(next(kUngrouped, State{}, SetGroupAsid{0, 1}).ok);
    EXPECT_FALSE(next(kUngrouped, State{}, SetGroupAsid{1, 0}).ok);
    EXPECT_FALSE(next(kUngrouped, State{}, UpdateIotlb{0, 1, 1}).ok);
}

/// Negotiates `features` in `state` with the statuses that a driver sends.
State negotiate(State state, uint64_t features, bool kernel_driver) {
    for (const uint8_t status : {uint8_t{0x03}, uint8_t{0x0b}}) {
        const Step step = next(kShape, state, SetStatus{status, features, kernel_driver});
        EXPECT_TRUE(step.ok);
        state = step.state;
    }
    return state;
}

TEST(Spaces, ResetForgetsTheSpaceForQemuButNotForTheKernel) {
    State state = next(kShape, State{}, SetGroupAsid{1, 1}).state;
    EXPECT_EQ(space_of(kShape, state, 4), 1U);
    state = next(kShape, state, SetStatus{0, 0, false}).state;
    EXPECT_EQ(space_of(kShape, state, 4), 0U) << "QEMU expects every group in space 0";
    EXPECT_EQ(space_of(kShape, negotiate(state, kWithMq, false), 4), 0U);
    EXPECT_EQ(space_of(kShape, negotiate(state, kWithMq, true), 4), 1U) << "virtio_vdpa goes on";
    state = next(kShape, state, SetStatus{0, 0, false}).state;
    EXPECT_EQ(space_of(kShape, negotiate(state, kWithMq, true), 4), 1U) << "after any reset";
}

TEST(Spaces, WithoutMultiqueueQueueTwoMoves) {
    State state = negotiate(State{}, kWithCvq, false);
    state = next(kShape, state, SetGroupAsid{1, 1}).state;
    EXPECT_EQ(space_of(kShape, state, 2), 1U);
    EXPECT_EQ(space_of(kShape, state, 0), 0U);
    EXPECT_EQ(space_of(kShape, state, 1), 0U);
}

TEST(Spaces, ADeviceWithoutControlQueueHasOneGroup) {
    EXPECT_TRUE(next(kPlain, State{}, SetGroupAsid{0, 1}).ok);
    EXPECT_FALSE(next(kPlain, State{}, SetGroupAsid{1, 1}).ok);
}

// ---- sequences observed on real systems

class Sequence : public testing::Test {
  protected:
    void status(unsigned value, uint64_t features = kWithMq) {
        const auto byte = static_cast<uint8_t>(value);
        const Step step = next(kShape, state, SetStatus{byte, features, false});
        ASSERT_TRUE(step.ok) << value;
        state = step.state;
    }
    void ready(uint32_t queue, bool value = true) {
        const Step step = next(kShape, state, SetQueueReady{queue, value});
        ASSERT_TRUE(step.ok);
        state = step.state;
    }
    Queues running() const { return queues_that_run(kShape, state); }

    State state;
};

TEST_F(Sequence, QemuStart) {
    status(0);
    status(0x08);
    EXPECT_EQ(state.features, kWithMq);
    state = next(kShape, state, SetGroupAsid{1, 1}).state;
    status(0x0c);
    EXPECT_EQ(running(), Queues{});
    ready(4);
    EXPECT_EQ(running(), Queues{4});
    for (const uint32_t queue : {0U, 1U, 2U, 3U})
        ready(queue);
    EXPECT_EQ(running(), (Queues{0, 1, 2, 3, 4}));
}

TEST_F(Sequence, FirmwareReadyBeforeEverything) {
    status(0);
    ready(0);
    ready(1);
    EXPECT_EQ(running(), Queues{});
    status(0x08, kBase);
    status(0x0c, kBase);
    EXPECT_EQ(running(), (Queues{0, 1}));
}

TEST_F(Sequence, VirtioVdpa) {
    for (const unsigned value : {0x00U, 0x01U, 0x03U, 0x0bU})
        status(value);
    for (uint32_t queue = 0; queue < 5; ++queue)
        ready(queue);
    EXPECT_EQ(running(), Queues{});
    status(0x0f);
    EXPECT_EQ(running(), (Queues{0, 1, 2, 3, 4}));
    status(0);
    for (uint32_t queue = 0; queue < 5; ++queue)
        ready(queue, false);
    status(0x01);
    EXPECT_EQ(running(), Queues{});
}

TEST_F(Sequence, OnlyAResetEndsASuspension) {
    status(0x0b);
    status(0x0f);
    for (uint32_t queue = 0; queue < 5; ++queue)
        ready(queue);
    state = next(kShape, state, Suspend{}).state;
    EXPECT_EQ(running(), Queues{});
    status(0x0b);
    status(0x0f);
    ready(0, false);
    ready(0);
    EXPECT_EQ(running(), Queues{});
    status(0);
    EXPECT_FALSE(state.suspended);
}

TEST_F(Sequence, FeaturesOfTheProbeAreForgotten) {
    status(0x03);
    status(0x0b, kOffered);
    EXPECT_EQ(state.features, kOffered);
    status(0);
    EXPECT_EQ(state.features, 0U);
    const Step step = next(kShape, state, SetStatus{0x08, kWithCvq, false});
    EXPECT_TRUE(step.negotiate) << "groups follow the features that are negotiated now";
    EXPECT_EQ(control_queue(kShape, step.state.features), 2U);
}

TEST(Veto, SaysWhy) {
    const auto veto = [](uint64_t features) {
        return next(kShape, State{}, SetStatus{0x08, features, false}).veto;
    };
    EXPECT_EQ(veto(kBase), Veto::none);
    EXPECT_EQ(veto(kBase | kNotOffered), Veto::not_offered);
    EXPECT_EQ(veto(kFeatureAccessPlatform), Veto::no_version_1);
    EXPECT_EQ(veto(kFeatureVersion1), Veto::no_access_platform);
    EXPECT_EQ(veto(0), Veto::no_version_1);
    EXPECT_EQ(veto(kBase | kFeatureMq), Veto::incomplete);
    EXPECT_EQ(veto(kBase | kFeatureMq | kNotOffered), Veto::not_offered);
}

// Virtio 1.3, 5.1.3.1: a feature without those that it requires is refused, at FEATURES_OK and
// nowhere else. features_test.cc tests which feature requires which.
TEST(Veto, Incomplete) {
    uint64_t all = 0;
    for (const Feature& row : kFeatures)
        all |= bit(row.number);
    const Shape shape{2, all};
    const auto at = [&](uint8_t status, uint64_t features) {
        return next(shape, State{}, SetStatus{status, features, false});
    };
    EXPECT_EQ(at(0x0b, all).veto, Veto::none);
    for (const Feature& row : kFeatures) {
        if (row.needs.empty())
            continue;
        uint64_t features = all & ~bit(find_feature(row.needs)->number);
        if (!row.or_needs.empty())
            features &= ~bit(find_feature(row.or_needs)->number);
        for (const uint8_t status : {uint8_t{0x08}, uint8_t{0x0b}, uint8_t{0x0f}}) {
            const Step step = at(status, features);
            EXPECT_EQ(step.veto, Veto::incomplete) << row.name;
            EXPECT_FALSE(step.ok);
            EXPECT_EQ(step.state, State{});
        }
        EXPECT_TRUE(at(0x03, features).ok);
    }
}

// The state machine is a pure function: the compiler can evaluate it.
static_assert(!next(kShape, State{}, Unknown{}).ok);
static_assert(next(kShape, State{}, SetStatus{}).reset);

}  // namespace
}  // namespace vduse::test
