// Messages: what the kernel asks, and the answer.
#include "device/session.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/position.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/mac.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

/// Messages answered before control looks at anything else.
constexpr int kMessagesAtOnce = 32;

const char* describe(Veto veto) {
    switch (veto) {
        case Veto::none:
            return "nothing";
        case Veto::not_offered:
            return "it contains features that were not offered";
        case Veto::no_version_1:
            return "VIRTIO_F_VERSION_1 is missing";
        case Veto::no_access_platform:
            return "VIRTIO_F_ACCESS_PLATFORM is missing";
    }
    return "unknown";
}

}  // namespace

void Session::set_broken(const char* why) {
    if (!broken_)
        log(Severity::error, "%s: out of service: %s", name(), why);
    broken_ = true;
    show_driver();
}

void Session::handle_messages() {
    for (int i = 0; i < kMessagesAtOnce && !broken_; ++i) {
        const auto request = node_->read_request();
        if (request) {
            handle(*request);
            continue;
        }
        const int code = request.error().code;
        if (code == EINTR)
            continue;
        if (code != EAGAIN)
            set_broken(request.error().text().c_str());
        return;
    }
}

Message Session::understand(const uapi::abi::Request& request) {
    using uapi::abi::RequestType;
    if (std::any_of(request.reserved.begin(), request.reserved.end(), [](auto r) { return r; }))
        return Unknown{};
    switch (static_cast<RequestType>(request.type)) {
        case RequestType::get_vq_state:
            return GetQueueState{request.vq_state.index};
        case RequestType::set_status: {
            const auto features = node_->driver_features();
            return SetStatus{
                request.status,
                features ? *features : 0,
                kernel_.bus_driver(config_.name) == "virtio_vdpa"};
        }
        case RequestType::update_iotlb:
            return UpdateIotlb{
                request.iova.start,
                request.iova.last,
                capabilities_.groups() ? request.iova.asid : 0};
        case RequestType::set_vq_group_asid:
            return SetGroupAsid{request.vq_group_asid.group, request.vq_group_asid.asid};
        case RequestType::set_vq_ready:
            return SetQueueReady{request.vq_ready.num, request.vq_ready.ready != 0};
        case RequestType::suspend:
            return Suspend{};
    }
    return Unknown{};
}

void Session::handle(const uapi::abi::Request& request) {
    const auto begin = std::chrono::steady_clock::now();
    const Message message = understand(request);
    const State before = state_;
    const Step step = next(shape_, state_, message);
    if (step.veto != Veto::none)
        log(Severity::warning, "%s: features refused: %s", name(), describe(step.veto));
    const bool stopped = stop_for(step);
    // What is answered FAILED did not happen, as the kernel sees it. It resets the device and takes
    // memory away all the same.
    if (stopped || step.reset || step.remap) {
        state_ = step.state;
        act(step);
    }
    const bool done = step.ok && stopped;
    if (const auto* ready = std::get_if<SetQueueReady>(&message); ready != nullptr && done) {
        queues_[ready->queue].stalled = false;
        queues_[ready->queue].adopted = false;  // the driver's side says where it starts
    }
    if (before.driver_ok() != state_.driver_ok()) {
        health_.restart();
        log(Severity::info,
            "%s: driver %s, features 0x%llx",
            name(),
            state_.driver_ok() ? "ready" : "gone",
            static_cast<unsigned long long>(state_.features));
    }
    remember();
    const bool ok = answer(request, done);
    events_.record(request, ok, begin, std::chrono::steady_clock::now() - begin);
    reconcile();
}

void Session::act(const Step& step) {
    if (step.reset)
        reset();
    if (step.negotiate)
        negotiate();
    // Without memory for a table nothing is mapped and the queues of that space wait for the next
    // update. That is our trouble; FAILED would take the driver's mappings away.
    if (step.remap)
        remap(*step.remap);
}

bool Session::answer(const uapi::abi::Request& request, bool ok) {
    uapi::abi::Response response{};
    response.request_id = request.request_id;
    if (ok && request.type == static_cast<uint32_t>(uapi::abi::RequestType::get_vq_state)) {
        const auto at = position(request.vq_state.index);
        ok = at.has_value();
        response.vq_state.index = request.vq_state.index;
        to_vq_state(at.value_or(ring::Position()), response.vq_state);
    }
    response.result = ok ? uapi::abi::kResultOk : uapi::abi::kResultFailed;
    const auto written = node_->write_response(response);
    // ENOENT: the asker was killed meanwhile; its next SET_STATUS 0 brings us in step again.
    if (!written && written.error().code != ENOENT)
        set_broken(written.error().text().c_str());
    return ok;
}

std::optional<ring::Position> Session::position(uint32_t index) {
    Queue& queue = queues_[index];
    const uint32_t indices[] = {index};
    // Stopped for the moment that it takes to read; `reconcile` lets it go on. Of one that stopped
    // before, a data thread may still be inside, or just finding the gate closed.
    if (!stop(indices))
        return std::nullopt;
    if (queue.adopted && !queue.started_with)
        resume(index);
    if (queue.started_with)
        return queue.ring.position();
    const auto info = node_->vq_info(index);
    return info ? from_vq_info(*info) : ring::Position();
}

void Session::reset() {
    for (uint32_t i = 0; i < shape_.queues(); ++i) {
        Queue& queue = queues_[i];
        queue.stalled = false;
        queue.quarantined = false;
        queue.heard = false;
        queue.adopted = false;
        queue.started_at = {};
        queue.started_with.reset();
        queue.owes_interrupt.store(false, std::memory_order_relaxed);
    }
    for (auto& view : views_)
        retire(std::exchange(view, memory::View()));
    owes_config_interrupt_ = false;
    control_.reset(0, mac_);
    publish(control_.state());
    refresh_link();
}

void Session::negotiate() {
    // Without MQ the control queue is queue 2, and belongs to the control group then; QEMU asks the
    // kernel for that group and moves it.
    if (shape_.has_control())
        for (const uint32_t index : {2U, 2U * shape_.pairs})
            if (const auto done = set_up_queue(index, state_.features); !done)
                log(Severity::error, "%s: %s", name(), done.error().text().c_str());
    control_.reset(state_.features, mac_);
    set_rules();
    publish(control_.state());
}

void Session::set_rules() {
    for (uint32_t i = 0; i < shape_.queues(); ++i)
        queues_[i].rules = {
            max_frame(config_.mtu), state_.negotiated(virtio::kFeatureMergeable), &filter_};
}

Result<void> Session::close() {
    if (!stop_all())
        return Error{ETIMEDOUT, "a data thread does not leave a queue"};
    close_node();
    return {};
}

void Session::close_node() {
    for (auto& view : views_)
        view = memory::View();
    node_.reset();
}

Result<void> Session::destroy(bool keep) {
    if (auto closed = close(); !closed || (keep && !broken_))
        return closed;
    auto destroyed = control_node_->destroy(config_.name);
    if (destroyed)
        Journal::forget(config_.journal_folder, config_.name);
    return destroyed;
}

}  // namespace vduse::device
