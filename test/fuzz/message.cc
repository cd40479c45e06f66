// SPDX-License-Identifier: BSD-3-Clause

// Passes requests of any bytes through the pure state machine, and through a session on the fake
// kernel.
//
// Checks which changes a step of the state machine may make. The session's answer and its visible
// state must then equal those of the state machine.
#include <array>
#include <bit>

#include "fuzz/device_rig.h"
#include "vduse/info.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using namespace device;
using uapi::abi::Request;
using uapi::abi::RequestType;

/// A request of raw bytes, or one with a type and small numbers in its fields.
Request request_of(Input& input) {
    Request request{};
    if (input.below(8) == 7) {
        const auto raw = input.take(sizeof request);
        if (!raw.empty())
            std::memcpy(&request, raw.data(), raw.size());
        return request;
    }
    request.type = input.below(7);
    request.reserved[input.below(4)] = input.below(64) == 63 ? input.byte() : 0U;
    request.padding[0] = input.byte();
    request.padding[1] = input.below(4);
    if (static_cast<RequestType>(request.type) == RequestType::update_iotlb)
        request.iova = {input.number<uint16_t>(), input.number<uint32_t>(), input.below(4), 0};
    return request;
}

Message message_of(const Request& request, uint64_t features, bool kernel_driver) {
    for (const uint32_t reserved : request.reserved)
        if (reserved != 0)
            return Unknown{};
    const auto& words = request.padding;
    switch (request.type) {
        case 0:
            return GetQueueState{words[0]};
        case 1:
            return SetStatus{static_cast<uint8_t>(words[0] & 0xff), features, kernel_driver};
        case 2:
            return UpdateIotlb{request.iova.start, request.iova.last, request.iova.asid};
        case 3:
            return SetGroupAsid{words[0], words[1]};
        case 4:
            return SetQueueReady{words[0], words[1] != 0};
        case 5:
            return Suspend{};
    }
    return Unknown{};
}

void check_step(const Shape& shape, const State& before, const Message& message, const Step& step) {
    const State& after = step.state;
    if (!step.ok)
        check(after == before && !step.reset && !step.remap, "what is refused changes nothing");
    const auto* const status = std::get_if<SetStatus>(&message);
    if (status != nullptr && status->status == 0)
        check(
            step.ok && step.reset && after.status == 0 && !after.suspended && after.features == 0,
            "reset wins"
        );
    else
        check(!step.reset, "nothing else resets");
    check((after.features & ~shape.offered) == 0, "only what is offered is negotiated");
    check(after.features == before.features || status != nullptr, "features follow the status");
    for (uint32_t i = 0; i < kMaxGroups; ++i)
        check(
            after.asid[i] < shape.spaces && after.sticky_asid[i] < shape.spaces,
            "spaces that there are"
        );
    check(!step.remap || *step.remap < shape.spaces, "a space that there is");
    uint32_t ready = 0;
    for (uint32_t i = 0; i < shape.queues(); ++i) {
        ready += after.ready(i) ? 1 : 0;
        check(
            !should_run(shape, after, i) ||
                (after.driver_ok() && !after.suspended && after.features != 0),
            "queues run for a driver that negotiated"
        );
    }
    for (const uint64_t word : after.ready_bits)
        ready -= static_cast<uint32_t>(std::popcount(word));
    check(ready == 0, "no queue is ready that does not exist");
}

void check_session(const DeviceRig& rig, const State& state) {
    const DeviceInfo info = rig.device->info();
    check(info.status == state.status, "the session has the status");
    check(info.features == state.features, "and the features");
    for (uint32_t group = 0; group < rig.shape.groups(); ++group)
        check(info.groups[group].asid == state.asid[group], "and the spaces of groups");
    check(
        info.active_pairs == (state.driver_ok() && !rig.device->broken() ? 1 : 0),
        "pairs are active while a driver is there"
    );
}

void play(DeviceRig& rig, Input& input) {
    State state;
    while (!input.empty() && !rig.vd0->broken) {
        constexpr uint64_t kLeast = virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform;
        const auto features = input.pick<uint64_t>(
            {rig.shape.offered, kLeast, rig.shape.offered & ~virtio::kFeatureMq, ~uint64_t{0}, 0}
        );
        const bool kernel_driver = input.flag();
        rig.vd0->set_features(features);
        rig.kernel.driver = kernel_driver ? "virtio_vdpa" : "vhost_vdpa";
        const Request request = request_of(input);
        const Message message = message_of(request, features, kernel_driver);
        const Step step = next(rig.shape, state, message);
        check_step(rig.shape, state, message, step);
        state = step.state;

        const auto response = rig.send(request);
        check(response.has_value(), "an answer comes before the kernel gives up");
        check(
            response->result == (step.ok ? uapi::abi::kResultOk : uapi::abi::kResultFailed),
            "the answer is the state machine's"
        );
        if (step.ok && request.type == static_cast<uint32_t>(RequestType::get_vq_state))
            check(
                response->vq_state.index == request.vq_state.index &&
                    response->vq_state.split.avail_index == 0,
                "a queue that never ran is where it was set"
            );
        check_session(rig, state);
    }
    if (!rig.vd0->broken)
        return;
    rig.control->run_once(0);
    check(rig.device->broken() && rig.device->active_pairs() == 0, "a broken device rests");
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    Input input(data, bytes);
    DeviceRig rig;
    play(rig, input);
    check(static_cast<bool>(rig.device->destroy()), "a device can be destroyed");
    return 0;
}
