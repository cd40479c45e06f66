// Messages: what the kernel asks, and the answer.
#include "device/session.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/adopt.h"
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

Session::Session(Parts parts, std::chrono::milliseconds patience)
    : parts_(std::move(parts)),
      patience_(patience),
      mac_(parts_.config.mac.value_or(MacAddress{})),
      spaces_(parts_, state_),
      control_(parts_.config.queue_pairs),
      config_space_(parts_.config.name, *parts_.node, mac_),
      memo_(std::move(parts_.journal), parts_, state_, config_space_, control_),
      driver_(state_) {
}

Session::~Session() {
    // Data threads may not call any more, but one that does finds its gate closed.
    stop_all();
}

Result<std::unique_ptr<Session>> Session::create(
    uapi::Kernel& kernel,
    const DeviceConfig& config,
    memory::Placer& placer,
    int wake_fd,
    std::chrono::milliseconds patience
) {
    if (auto valid = validate(config); !valid)
        return valid.error();
    if (auto prepared = sched::Gate::prepare(); !prepared)
        return prepared.error();
    auto parts = adopt_or_make(kernel, config, placer, wake_fd);
    if (!parts)
        return parts.error();
    std::unique_ptr<Session> session(new Session(std::move(*parts), patience));
    session->begin();
    return session;
}

void Session::begin() {
    if (const auto record = std::exchange(parts_.inherited, std::nullopt))
        return go_on(*record);
    reset();
    memo_.save();
}

void Session::go_on(const Record& record) {
    adopted_ = true;
    state_ = record.state;
    control_.restore(state_.features, record.control);
    link_up_ = record.config_status != 0;
    for (uint32_t space = 0; space < spaces_.count(); ++space)
        spaces_.remap(space);
    set_rules();
    // The other process may have ended between writing to the configuration space and to the
    // journal, so what is there is not known: both are written again, and the driver is told.
    config_space_.forget();
    publish(control_.state());
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        queue.started_at = record.positions[i];
        // Of one whose driver is suspended the position may be asked for, ready or not. A kernel
        // that does not tell which queues are ready is asked as they start.
        queue.adopted = parts_.guessed || state_.ready(i) || !parts_.capabilities.queue_ready();
        queue.owes_interrupt.store(true, std::memory_order_relaxed);
    }
    refresh_link();
    reconcile();
}

void Session::set_broken(const char* why) {
    if (!driver_.broken())
        log(Severity::error, "%s: out of service: %s", name(), why);
    driver_.set_broken();
    show_driver();
}

void Session::handle_messages() {
    for (int i = 0; i < kMessagesAtOnce && !driver_.broken(); ++i) {
        const auto request = parts_.node->read_request();
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
            const auto features = parts_.node->driver_features();
            return SetStatus{
                request.status,
                features ? *features : 0,
                parts_.kernel.bus_driver(parts_.config.name) == "virtio_vdpa"};
        }
        case RequestType::update_iotlb:
            return UpdateIotlb{
                request.iova.start,
                request.iova.last,
                parts_.capabilities.groups() ? request.iova.asid : 0};
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
    const Step step = next(parts_.shape, state_, message);
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
        parts_.queues[ready->queue].stalled = false;
        parts_.queues[ready->queue].adopted = false;  // the driver's side says where it starts
    }
    if (before.driver_ok() != state_.driver_ok()) {
        health_.restart();
        log(Severity::info,
            "%s: driver %s, features 0x%llx",
            name(),
            state_.driver_ok() ? "ready" : "gone",
            static_cast<unsigned long long>(state_.features));
    }
    memo_.save();
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
        spaces_.remap(*step.remap);
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
    const auto written = parts_.node->write_response(response);
    // ENOENT: the asker was killed meanwhile; its next SET_STATUS 0 brings us in step again.
    if (!written && written.error().code != ENOENT)
        set_broken(written.error().text().c_str());
    return ok;
}

std::optional<ring::Position> Session::position(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const uint32_t indices[] = {index};
    // Stopped for the moment that it takes to read; `reconcile` lets it go on. Of one that stopped
    // before, a data thread may still be inside, or just finding the gate closed.
    if (!stop(indices))
        return std::nullopt;
    if (queue.adopted && !queue.started_with)
        resume(index);
    if (queue.started_with)
        return queue.ring.position();
    const auto info = parts_.node->vq_info(index);
    return info ? from_vq_info(*info) : ring::Position();
}

void Session::reset() {
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i) {
        Queue& queue = parts_.queues[i];
        queue.stalled = false;
        queue.quarantined = false;
        queue.heard = false;
        queue.adopted = false;
        queue.started_at = {};
        queue.started_with.reset();
        queue.owes_interrupt.store(false, std::memory_order_relaxed);
    }
    spaces_.drop_all();
    config_space_.drop_interrupt();
    control_.reset(0, mac_);
    publish(control_.state());
    refresh_link();
}

void Session::negotiate() {
    // Without MQ the control queue is queue 2, and belongs to the control group then; QEMU asks the
    // kernel for that group and moves it.
    if (parts_.shape.has_control())
        for (const uint32_t index : {2U, 2U * parts_.shape.pairs})
            if (const auto done = set_up_queue(parts_, index, state_.features); !done)
                log(Severity::error, "%s: %s", name(), done.error().text().c_str());
    control_.reset(state_.features, mac_);
    set_rules();
    publish(control_.state());
}

void Session::set_link(bool up) {
    link_up_ = up;
    refresh_link();
}

void Session::refresh_link() {
    // A quarantined queue shows as a lost link: VDUSE has no DEVICE_NEEDS_RESET.
    bool up = link_up_;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        up = up && !parts_.queues[i].quarantined;
    if (!config_space_.set_link(up))
        return;
    memo_.save();
    if (state_.driver_ok() && !state_.suspended)
        config_space_.interrupt();
}

Result<void> Session::set_mac(const MacAddress& mac) {
    if ((parts_.shape.offered & virtio::kFeatureMac) == 0)
        return Error{ENOTSUP, parts_.config.name + ": the device was made without a MAC address"};
    if ((mac[0] & 1) != 0)
        return Error{EINVAL, parts_.config.name + ": a multicast address is nobody's"};
    mac_ = mac;
    // QEMU never sets DRIVER, so any bit is a driver whose control state is not ours to reset.
    if (state_.status == 0) {
        control_.reset(state_.features, mac_);
        publish(control_.state());
        memo_.save();
    }
    return {};
}

void Session::set_node(uint16_t pair, int numa_node) {
    if (spaces_.set_node(pair, numa_node))
        open(look_again(space_of(parts_.shape, state_, 2U * pair), {}));
}

void Session::set_rules() {
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        parts_.queues[i].rules = {
            max_frame(parts_.config.mtu), state_.negotiated(virtio::kFeatureMergeable), &filter_};
}

Result<void> Session::close() {
    if (!stop_all())
        return Error{ETIMEDOUT, "a data thread does not leave a queue"};
    close_node();
    return {};
}

void Session::close_node() {
    spaces_.close();
    parts_.node.reset();
}

Result<void> Session::destroy(bool keep) {
    if (auto closed = close(); !closed || (keep && !driver_.broken()))
        return closed;
    auto destroyed = parts_.control_node->destroy(parts_.config.name);
    if (destroyed)
        Journal::forget(parts_.config.journal_folder, parts_.config.name);
    return destroyed;
}

Result<void> Session::prepare_to_let_go() {
    memo_.save();
    if (!memo_.good())
        return Error{ENOTSUP, "it has no journal from which another process could go on"};
    if (stop_all())
        return {};
    serve_on();
    return Error{ETIMEDOUT, "a data thread does not leave a queue"};
}

void Session::serve_on() {
    // A queue whose data thread is still inside starts in a later turn of the loop.
    reconcile();
}

void Session::let_go() {
    close_node();
    memo_.close();
}

void Session::resume(uint32_t index) {
    Queue& queue = parts_.queues[index];
    const auto info = parts_.node->vq_info(index);
    if (!info || load(index, *info) != ring::LoadError::none)
        return;
    queue.ring.resume(queue.started_at);
    queue.started_with = *info;
}

}  // namespace vduse::device
