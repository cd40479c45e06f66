// SPDX-License-Identifier: BSD-3-Clause

// The kernel's messages and their answers.
#include "device/session.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/adopt.h"
#include "device/position.h"
#include "device/snapshot.h"
#include "vduse/info.h"
#include "vduse/limits.h"
#include "vduse/mac.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

/// Messages that are answered before control does anything else.
constexpr int kMessagesAtOnce = 32;

MacAddress mac_of(const DeviceConfig& config) {
    return config.mac.value_or(MacAddress{});
}

const char* describe(Veto veto) {
    switch (veto) {
        case Veto::none:
            return "nothing";
        case Veto::not_offered:
            return "it contains features that were not offered";
        case Veto::incomplete:
            return "it contains features whose dependencies are missing (virtio 1.3, 5.1.3.1)";
        case Veto::no_version_1:
            return "VIRTIO_F_VERSION_1 is missing";
        case Veto::no_access_platform:
            return "VIRTIO_F_ACCESS_PLATFORM is missing";
    }
    return "unknown";
}

/// Samples of the pairs that the driver uses.
std::vector<PairSample> samples(const Parts& parts, uint16_t active_pairs) {
    std::vector<PairSample> pairs;
    for (uint32_t i = 0; i < 2U * active_pairs; i += 2) {
        const Queue& to_guest = parts.queues[i];
        // A pair that does not run has a log line of its own.
        if (to_guest.running)
            pairs.push_back(
                {to_guest.counters.frames.read(),
                 to_guest.counters.no_buffer.read(),
                 parts.queues[i + 1].counters.frames.read(),
                 to_guest.ring.offered()}
            );
    }
    return pairs;
}

}  // namespace

Session::Session(Parts parts, std::chrono::milliseconds timeout)
    : parts_(std::move(parts)),
      spaces_(parts_, state_),
      control_(
          parts_.config.queue_pairs,
          [this](uint32_t queue) -> const net::QueueCounters& {
              return parts_.queues[queue].counters;
          }
      ),
      config_space_(parts_.config.name, *parts_.node, mac_of(parts_.config)),
      memo_(std::move(parts_.journal), parts_, state_, config_space_, control_),
      driver_(state_),
      queues_(parts_, state_, spaces_, memo_, driver_, timeout),
      commands_(control_, queues_, config_space_, memo_, parts_.kick.get(), mac_of(parts_.config)) {
}

Session::~Session() {
    // Data threads must not call any more, but a thread that does finds its gate closed.
    queues_.stop_all();
}

Result<std::unique_ptr<Session>> Session::create(
    uapi::Kernel& kernel,
    const DeviceConfig& config,
    memory::TableAllocator& allocator,
    int wake_fd,
    std::chrono::milliseconds timeout
) {
    if (auto valid = validate(config); !valid)
        return valid.error();
    if (auto prepared = sched::Gate::prepare(); !prepared)
        return prepared.error();
    auto parts = adopt_or_make(kernel, config, allocator, wake_fd);
    if (!parts)
        return parts.error();
    std::unique_ptr<Session> session(new Session(std::move(*parts), timeout));
    session->begin();
    return session;
}

void Session::begin() {
    const auto inherited = std::exchange(parts_.inherited, std::nullopt);
    if (!inherited) {
        reset();
        memo_.save();
        return;
    }
    adopted_ = true;
    state_ = inherited->state;
    link_up_ = inherited->config_status != 0;
    for (uint32_t space = 0; space < spaces_.count(); ++space)
        spaces_.remap(space);
    queues_.set_rules();
    // The other process may have exited between its writes to the journal and to the configuration
    // space. So the content of the latter is unknown: it is written again, and the driver is
    // interrupted.
    config_space_.forget();
    commands_.restore(state_.features, inherited->control);
    queues_.adopt(inherited->positions);
    refresh_link();
    reconcile();
}

void Session::set_broken(const char* why) {
    if (!driver_.broken())
        log(Severity::error, "%s: out of service: %s", parts_.name(), why);
    driver_.set_broken();
    queues_.show_driver();
}

void Session::reconcile() {
    queues_.clear_pending();
    queues_.show_driver();
    if (!parts_.capabilities.queue_ready() && !driver_.broken())
        for (const SetQueueReady& message : queues_.ask_ready())
            state_ = next(parts_.shape, state_, message).state;
    queues_.start_all();
    commands_.serve_if_started();
}

bool Session::tick() {
    const bool again = queues_.service();
    commands_.serve_if_started();
    refresh_link();
    if (config_space_.owes_interrupt() && state_.driver_ok() && !state_.suspended)
        config_space_.interrupt();
    poll_health();
    if (queues_.pending() != Pending::nothing)
        reconcile();
    const bool lingers = spaces_.collect();
    const bool config = config_space_.owes_interrupt() && !state_.suspended;
    return again || config || queues_.pending() == Pending::start || lingers;
}

void Session::poll_health() {
    if (driver_.active_pairs() == 0 || state_.suspended || config_space_.status() == 0)
        return health_.restart();
    const auto now = Health::Clock::now();
    if (!health_.due(now))
        return;
    for (const std::string& line : health_.poll(now, samples(parts_, driver_.active_pairs())))
        log(Severity::notice, "%s: %s", parts_.name(), line.c_str());
}

void Session::handle_kick() {
    uint64_t kicks = 0;
    (void)!::read(parts_.kick.get(), &kicks, sizeof kicks);
    commands_.serve();
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

void Session::handle(const uapi::abi::Request& request) {
    const auto begin = std::chrono::steady_clock::now();
    const Message message = understand(parts_, request);
    const State before = state_;
    const Step step = next(parts_.shape, state_, message);
    if (step.veto != Veto::none)
        log(Severity::warning, "%s: features refused: %s", parts_.name(), describe(step.veto));
    const bool stopped = queues_.stop_for(step);
    // To the kernel, a message that is answered FAILED had no effect. But it resets the device and
    // unmaps memory in any case.
    if (stopped || step.reset || step.remap) {
        state_ = step.state;
        act(step);
    }
    const bool done = step.ok && stopped;
    if (const auto* ready = std::get_if<SetQueueReady>(&message); ready != nullptr && done)
        queues_.made_ready(ready->queue);
    if (before.driver_ok() != state_.driver_ok()) {
        health_.restart();
        log(Severity::info,
            "%s: driver %s, features 0x%llx",
            parts_.name(),
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
    if (step.negotiate) {
        regroup(parts_, state_.features);
        queues_.set_rules();
        commands_.reset(state_.features);
    }
    // Without memory for a table nothing is mapped, and the queues of that space wait for the next
    // update. The answer is still OK, because FAILED would take the driver's mappings away.
    if (step.remap)
        spaces_.remap(*step.remap);
}

bool Session::answer(const uapi::abi::Request& request, bool ok) {
    uapi::abi::Response response{};
    response.request_id = request.request_id;
    if (ok && request.type == static_cast<uint32_t>(uapi::abi::RequestType::get_vq_state)) {
        const auto at = queues_.position(request.vq_state.index);
        ok = at.has_value();
        response.vq_state.index = request.vq_state.index;
        to_vq_state(at.value_or(ring::Position()), response.vq_state);
    }
    response.result = ok ? uapi::abi::kResultOk : uapi::abi::kResultFailed;
    const auto written = parts_.node->write_response(response);
    // ENOENT: the requester was killed meanwhile; its next SET_STATUS 0 brings both in step again.
    if (!written && written.error().code != ENOENT)
        set_broken(written.error().text().c_str());
    return ok;
}

void Session::reset() {
    queues_.reset();
    spaces_.drop_all();
    config_space_.drop_interrupt();
    commands_.reset(0);
    refresh_link();
}

void Session::set_link(bool up) {
    link_up_ = up;
    refresh_link();
}

void Session::refresh_link() {
    // A quarantined queue is shown as link down, because VDUSE has no DEVICE_NEEDS_RESET.
    if (!config_space_.set_link(link_up_ && !queues_.any_quarantined()))
        return;
    memo_.save();
    if (state_.driver_ok() && !state_.suspended)
        config_space_.interrupt();
}

Result<void> Session::set_mac(const MacAddress& mac) {
    if ((parts_.shape.offered & virtio::kFeatureMac) == 0)
        return Error{ENOTSUP, parts_.config.name + ": the device was made without a MAC address"};
    if ((mac[0] & 1) != 0)
        return Error{
            EINVAL, parts_.config.name + ": a multicast address cannot be a device's MAC address"};
    commands_.set_mac(mac);
    // QEMU never sets DRIVER. So any status bit means a driver, whose control state must not be
    // reset here.
    if (state_.status == 0) {
        commands_.reset(state_.features);
        memo_.save();
    }
    return {};
}

void Session::set_node(uint16_t pair, int numa_node) {
    if (spaces_.set_node(pair, numa_node))
        queues_.remap(space_of(parts_.shape, state_, 2U * pair));
    commands_.serve_if_started();
}

void Session::close_node() {
    spaces_.close();
    parts_.node.reset();
}

Result<void> Session::stop() {
    if (queues_.stop_all())
        return {};
    // A queue whose data thread is still inside starts later, in another turn of the loop.
    reconcile();
    return Error{ETIMEDOUT, "a data thread did not leave a queue in time"};
}

Result<void> Session::destroy(bool keep) {
    close_node();
    if (keep && !driver_.broken())
        return {};
    auto destroyed = parts_.control_node->destroy(parts_.config.name);
    if (destroyed)
        Journal::forget(parts_.config.journal_folder, parts_.config.name);
    return destroyed;
}

DeviceInfo Session::info() const {
    DeviceInfo info;
    info.api_version = parts_.capabilities.api_version;
    info.kernel_features = parts_.capabilities.features;
    info.adopted = adopted_;
    info.status = state_.status;
    info.features = state_.features;
    info.link_up = config_space_.status() != 0 && !driver_.broken();
    info.active_pairs = driver_.active_pairs();
    info.queue_pairs = parts_.shape.pairs;
    info.problems = health_.problems();
    info.groups = groups_of(parts_.shape, state_);
    info.spaces = regions_of(spaces_);
    add_control(control_, info);
    return info;
}

std::optional<QueueInfo> Session::queue_info(uint32_t index) const {
    if (index >= parts_.shape.queues())
        return std::nullopt;
    return device::queue_info(parts_, state_, index);
}

Result<void> Session::prepare_to_release() {
    memo_.save();
    if (!memo_.good())
        return Error{ENOTSUP, "it has no journal, so no other process can adopt it"};
    return stop();
}

void Session::release() {
    close_node();
    memo_.close();
}

}  // namespace vduse::device
