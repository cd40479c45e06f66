// SPDX-License-Identifier: BSD-3-Clause

// The state machine of a device: the effect of each message of the kernel. Pure, total, and without
// I/O. `next` is enumerated by test/unit/device/state_test.cc; device/session performs its steps.
//
// Measured facts that shape it (doc/design.md, "Facts about the kernel"):
//   - The status goes 0, 8, c as well as 0, 1, 3, b, f. Any bits may come, and 0 at any time.
//   - SET_VQ_READY comes at any status, before or after DRIVER_OK, for queues that the driver never
//     set up, and after a reset. If it fails, the device is broken permanently. So it is only
//     recorded, and `should_run` is evaluated again after every message.
//   - After a reset QEMU expects every group in space 0, while virtio_vdpa keeps the space that the
//     kernel last recorded. So a group has an effective space and a sticky one.
//   - Without MQ the control queue is queue 2, so groups depend on the negotiated features.
//   - Features are all that is ever vetoed: at FEATURES_OK, or when DRIVER_OK comes without it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "vduse/limits.h"
#include "virtio/features.h"

namespace vduse::device {

inline constexpr uint32_t kMaxQueues = 2 * kMaxPairs + 1;
inline constexpr uint32_t kMaxGroups = kMaxPairs + 1;
static_assert(kMaxSpaces == kMaxGroups);
static_assert(kMaxSpaces <= 256, "State has an ASID in a byte");

/// The properties of a device that are fixed for its life.
struct Shape {
    uint16_t pairs = 1;
    uint64_t offered = 0;         ///< virtio features
    bool group_per_pair = false;  ///< else all data queues are group 0
    uint32_t spaces = 2;          ///< 1 to kMaxSpaces
    bool grouped = true;          ///< false: no groups (API version 0), everything is group 0

    [[nodiscard]] constexpr bool has_control() const {
        return (offered & virtio::kFeatureCtrlVq) != 0;
    }
    [[nodiscard]] constexpr uint32_t queues() const {
        return 2U * pairs + (has_control() ? 1U : 0U);
    }
    [[nodiscard]] constexpr uint32_t data_groups() const {
        return group_per_pair ? pairs : uint32_t{1};
    }
    /// The last one, where there is a control queue.
    [[nodiscard]] constexpr uint32_t control_group() const { return grouped ? data_groups() : 0; }
    [[nodiscard]] constexpr uint32_t groups() const {
        return data_groups() + (has_control() && grouped ? 1U : 0U);
    }
    friend constexpr bool operator==(const Shape&, const Shape&) = default;
};

struct State {
    uint8_t status = 0;
    bool suspended = false;
    uint64_t features = 0;  ///< negotiated; 0 before FEATURES_OK
    std::array<uint8_t, kMaxGroups> asid{};
    std::array<uint8_t, kMaxGroups> sticky_asid{};
    std::array<uint64_t, (kMaxQueues + 63) / 64> ready_bits{};

    [[nodiscard]] constexpr bool driver_ok() const {
        return (status & virtio::kStatusDriverOk) != 0;
    }
    [[nodiscard]] constexpr bool negotiated(uint64_t feature) const {
        return (features & feature) != 0;
    }
    [[nodiscard]] constexpr bool ready(uint32_t queue) const {
        return (ready_bits[queue / 64] >> (queue % 64) & 1) != 0;
    }
    friend constexpr bool operator==(const State&, const State&) = default;
};

/// The index of the control queue with `features` (virtio 1.3, 5.1.2). Nothing if there is none.
constexpr std::optional<uint32_t> control_queue(const Shape& shape, uint64_t features) {
    if (!shape.has_control() || (features & virtio::kFeatureCtrlVq) == 0)
        return std::nullopt;
    return virtio::data_queues(features, shape.pairs);
}

/// The group of `queue` with `features`. The last queue is always in the control group, because
/// QEMU's probe looks there. Before features are negotiated the layout is that of MQ.
constexpr uint32_t group_of(const Shape& shape, uint64_t features, uint32_t queue) {
    const bool last = shape.has_control() && queue == 2U * shape.pairs;
    if (last || control_queue(shape, features) == queue)
        return shape.control_group();
    return shape.group_per_pair ? queue / 2 : 0;
}

constexpr uint32_t space_of(const Shape& shape, const State& state, uint32_t queue) {
    return state.asid[group_of(shape, state.features, queue)];
}

/// Whether `queue` should be served. (The session checks whether its ring is sane.)
constexpr bool should_run(const Shape& shape, const State& state, uint32_t queue) {
    if (!state.driver_ok() || state.suspended || !state.ready(queue))
        return false;
    return queue < virtio::data_queues(state.features, shape.pairs) ||
           control_queue(shape, state.features) == queue;
}

struct GetQueueState {
    uint32_t queue;
};
struct SetStatus {
    uint8_t status;
    uint64_t driver_features;  ///< as the kernel has them now
    bool kernel_driver;        ///< bound to virtio_vdpa
};
struct UpdateIotlb {
    uint64_t first;
    uint64_t last;
    uint32_t asid;
};
struct SetGroupAsid {
    uint32_t group;
    uint32_t asid;
};
struct SetQueueReady {
    uint32_t queue;
    bool ready;
};
struct Suspend {};
struct Unknown {};
using Message = std::
    variant<GetQueueState, SetStatus, UpdateIotlb, SetGroupAsid, SetQueueReady, Suspend, Unknown>;

/// Why FEATURES_OK was refused.
enum class Veto : uint8_t { none, not_offered, incomplete, no_version_1, no_access_platform };

/// The effect of a message. The session stops the queues that must not run any more, performs the
/// actions, answers, and then starts the queues that should run now.
struct Step {
    explicit constexpr Step(const State& unchanged) : state(unchanged) {}

    State state;
    bool ok = true;                 ///< the answer: OK or FAILED
    bool reset = false;             ///< forget positions, mappings and what the driver programmed
    bool negotiate = false;         ///< features were negotiated: tell the kernel the groups
    std::optional<uint32_t> remap;  ///< this space changed
    bool moved = false;             ///< a group is in another space now
    Veto veto = Veto::none;
};

namespace detail {

constexpr Step refused(const State& state) {
    Step step(state);
    step.ok = false;
    return step;
}

constexpr Veto check_features(const Shape& shape, uint64_t features) {
    if ((features & ~shape.offered) != 0)
        return Veto::not_offered;
    if (!virtio::is_complete(features))
        return Veto::incomplete;
    if ((features & virtio::kFeatureVersion1) == 0)
        return Veto::no_version_1;
    if ((features & virtio::kFeatureAccessPlatform) == 0)
        return Veto::no_access_platform;
    return Veto::none;
}

constexpr Step on(const Shape& shape, const State& state, const GetQueueState& message) {
    return message.queue < shape.queues() ? Step(state) : refused(state);
}

constexpr Step on(const Shape& shape, const State& state, const SetStatus& message) {
    constexpr uint8_t kNegotiated = virtio::kStatusFeaturesOk | virtio::kStatusDriverOk;
    Step step(state);
    step.state.status = message.status;
    if (message.status == 0) {
        step.reset = true;
        step.state = State{};
        step.state.sticky_asid = state.sticky_asid;
        return step;
    }
    if ((message.status & kNegotiated) == 0) {
        step.state.features = 0;
        return step;
    }
    if ((message.status & ~state.status & kNegotiated) == 0)
        return step;
    // FEATURES_OK or DRIVER_OK is new: take the driver's features as they are now.
    if (const Veto veto = check_features(shape, message.driver_features); veto != Veto::none) {
        step = refused(state);
        step.veto = veto;
        return step;
    }
    if (state.features != message.driver_features) {
        step.state.features = message.driver_features;
        step.negotiate = true;
        if (message.kernel_driver)
            step.state.asid = state.sticky_asid;
    }
    return step;
}

constexpr Step on(const Shape& shape, const State& state, const UpdateIotlb& message) {
    if (message.asid >= shape.spaces || message.last < message.first)
        return refused(state);
    Step step(state);
    step.remap = message.asid;
    return step;
}

constexpr Step on(const Shape& shape, const State& state, const SetGroupAsid& message) {
    if (message.group >= shape.groups() || message.asid >= shape.spaces)
        return refused(state);
    const auto asid = static_cast<uint8_t>(message.asid);
    Step step(state);
    step.moved = state.asid[message.group] != asid;
    step.state.asid[message.group] = asid;
    step.state.sticky_asid[message.group] = asid;
    return step;
}

constexpr Step on(const Shape& shape, const State& state, const SetQueueReady& message) {
    if (message.queue >= shape.queues())
        return refused(state);
    Step step(state);
    uint64_t& word = step.state.ready_bits[message.queue / 64];
    const uint64_t mask = uint64_t{1} << (message.queue % 64);
    word = message.ready ? word | mask : word & ~mask;
    return step;
}

constexpr Step on(const Shape& /*shape*/, const State& state, const Suspend& /*message*/) {
    Step step(state);
    step.state.suspended = true;
    return step;
}

constexpr Step on(const Shape& /*shape*/, const State& state, const Unknown& /*message*/) {
    return refused(state);
}

}  // namespace detail

constexpr Step next(const Shape& shape, const State& state, const Message& message) {
    return std::visit([&](const auto& m) { return detail::on(shape, state, m); }, message);
}

}  // namespace vduse::device
