// SPDX-License-Identifier: BSD-3-Clause

// The public interface on top of the sessions, and the control loop: one epoll for all devices of
// the process.
#include "vduse/device.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "device/adopt.h"
#include "device/session.h"
#include "memory/lost_memory.h"
#include "vduse/drop.h"
#include "vduse/info.h"

namespace vduse {
namespace {

/// How soon control retries something that the kernel was not ready for.
constexpr int kRetryMs = 1;

enum class Event : uint8_t { message, kick };

struct EventSource {
    device::Session* session;
    Event event;
};

void add_to(const net::QueueCounters& counters, QueueStats& stats) {
    stats.frames = counters.frames.read();
    stats.bytes = counters.bytes.read();
    for (size_t i = 0; i < kDropReasons; ++i) {
        stats.drops[i] = counters.drops[i].read();
        stats.dropped += stats.drops[i];
    }
    stats.no_mbuf = counters.no_mbuf.read();
    stats.no_buffer = counters.no_buffer.read();
    stats.interrupts = counters.interrupts.read();
    stats.misses = counters.misses.read();
    stats.csum = counters.csum.read();
    stats.large = counters.large.read();
    stats.csum_done = counters.csum_done.read();
    stats.cut = counters.cut.read();
}

Traffic traffic_of(const net::QueueCounters& counters) {
    return {counters.frames.read(), counters.bytes.read()};
}

}  // namespace

std::optional<DeviceOwner> owner_of(const DeviceConfig& config) {
    return persist::Journal::owner(config.journal_folder, config.name);
}

Result<void> can_adopt(const DeviceConfig& config, uapi::Kernel* kernel) {
    return device::can_adopt(
        kernel != nullptr ? *kernel : uapi::linux_kernel(),
        config,
        memory::default_table_allocator()
    );
}

struct Control::Loop {
    uapi::Kernel& kernel;
    UniqueFd epoll;
    UniqueFd wake;  ///< written by data threads and Control::wake
    struct Sources {
        device::Session* session;
        EventSource messages;
        EventSource kick;
    };
    std::vector<std::unique_ptr<Sources>> sessions;

    bool watch(int fd, EventSource* source) const {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = source;
        return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
    }

    Result<void> add(device::Session& session) {
        auto sources = std::make_unique<Sources>(Sources{
            &session, {&session, Event::message}, {&session, Event::kick}});
        if (!watch(session.message_fd(), &sources->messages) ||
            !watch(session.parts().kick.get(), &sources->kick))
            return Error{errno, "epoll"};
        sessions.push_back(std::move(sources));
        return {};
    }

    void forget(const device::Session& session) {
        ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, session.message_fd(), nullptr);
        ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, session.parts().kick.get(), nullptr);
        std::erase_if(sessions, [&](const auto& sources) { return sources->session == &session; });
    }

    [[nodiscard]] int wait(std::span<epoll_event> events, int timeout_ms) const {
        return ::epoll_wait(
            epoll.get(), events.data(), static_cast<int>(events.size()), timeout_ms
        );
    }

    /// One step of the first session that has something to do; false if none has.
    [[nodiscard]] bool idle_work() const {
        return std::ranges::any_of(sessions, [](const auto& sources) {
            return sources->session->idle_work();
        });
    }

    void dispatch(const epoll_event& event) const {
        const auto* source = static_cast<const EventSource*>(event.data.ptr);
        if (source == nullptr) {
            uint64_t calls = 0;
            (void)!::read(wake.get(), &calls, sizeof calls);
        } else if (source->event == Event::kick) {
            source->session->handle_kick();
        } else if ((event.events & EPOLLIN) != 0) {
            source->session->handle_messages();
        } else {
            source->session->set_broken("the kernel gave the device up (an answer came too late)");
        }
        if (source != nullptr && source->session->driver().broken())
            ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, source->session->message_fd(), nullptr);
    }
};

Control::Control(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {
}
Control::~Control() {
    memory::handle_lost_memory(-1);
}

Result<std::unique_ptr<Control>> Control::create(uapi::Kernel* kernel) {
    auto loop = std::make_unique<Loop>(Loop{
        kernel != nullptr ? *kernel : uapi::linux_kernel(),
        UniqueFd(::epoll_create1(EPOLL_CLOEXEC)),
        UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        {}});
    if (!loop->epoll || !loop->wake || !loop->watch(loop->wake.get(), nullptr))
        return Error{errno, "epoll and eventfd"};
    memory::handle_lost_memory(loop->wake.get());
    return std::unique_ptr<Control>(new Control(std::move(loop)));
}

Result<std::unique_ptr<Device>> Control::add(const DeviceConfig& config) {
    auto session = device::Session::create(
        loop_->kernel, config, memory::default_table_allocator(), loop_->wake.get()
    );
    if (!session)
        return session.error();
    if (auto added = loop_->add(**session); !added) {
        (void)(*session)->stop();
        (void)(*session)->destroy(config.persist);  // leave nothing behind that was not there
        return added.error();
    }
    return std::unique_ptr<Device>(new Device(*this, std::move(*session)));
}

void Control::run_once(int timeout_ms) {
    // Tick before every sleep, so that no sleep begins with work left to do. The work of the events
    // of this turn is done by the next turn's tick.
    bool soon = false;
    for (const auto& sources : loop_->sessions)
        soon |= sources->session->tick();
    if (soon && (timeout_ms < 0 || timeout_ms > kRetryMs))
        timeout_ms = kRetryMs;
    std::array<epoll_event, 16> events;
    int count = loop_->wait(events, 0);
    // While nobody waits for an answer: one step, of one device, in place of the sleep.
    if (count == 0 && !loop_->idle_work())
        count = loop_->wait(events, timeout_ms);
    for (int i = 0; i < count; ++i)
        loop_->dispatch(events[static_cast<size_t>(i)]);
}

void Control::wake() noexcept {
    raise_eventfd(loop_->wake.get());
}

Device::Device(Control& control, std::unique_ptr<device::Session> session)
    : control_(control), session_(std::move(session)) {
}

Device::~Device() {
    control_.loop_->forget(*session_);
}

QueuePair Device::queue_pair(uint16_t number) const noexcept {
    device::Queue* const queues = &session_->parts().queues[size_t{2} * number];
    return {queues[0], queues[1]};
}

uint16_t QueuePair::from_guest(
    rte_mempool* pool, std::span<rte_mbuf*> frames, const RxOptions& options
) const noexcept {
    return from_guest_->from_guest(pool, frames, options);
}

uint16_t QueuePair::to_guest(std::span<rte_mbuf* const> frames) const noexcept {
    return to_guest_->to_guest(frames);
}

uint32_t QueuePair::from_guest_waiting() const noexcept {
    return from_guest_->waiting();
}

uint32_t QueuePair::to_guest_waiting() const noexcept {
    return to_guest_->waiting();
}

Offloads QueuePair::to_guest_offloads() const noexcept {
    return to_guest_->offloads();
}

int QueuePair::kick_fd() const noexcept {
    return from_guest_->kick.get();
}

bool QueuePair::arm_from_guest() const noexcept {
    return from_guest_->arm();
}

void QueuePair::disarm_from_guest() const noexcept {
    from_guest_->disarm();
}

bool QueuePair::serves() const noexcept {
    return from_guest_->gate.is_open();
}

QueueStats QueuePair::from_guest_stats() const noexcept {
    QueueStats stats;
    add_to(from_guest_->counters, stats);
    return stats;
}

QueueStats QueuePair::to_guest_stats() const noexcept {
    QueueStats stats;
    add_to(to_guest_->counters, stats);
    return stats;
}

Traffic QueuePair::from_guest_traffic() const noexcept {
    return traffic_of(from_guest_->counters);
}

Traffic QueuePair::to_guest_traffic() const noexcept {
    return traffic_of(to_guest_->counters);
}

Steering Device::steering() const noexcept {
    return session_->driver().steering();
}

std::optional<MacAddress> Device::mac() const noexcept {
    return session_->driver().mac();
}

uint16_t Device::queue_pairs() const noexcept {
    return session_->parts().shape.pairs;
}

const std::string& Device::name() const noexcept {
    return session_->parts().config.name;
}

void Device::set_link(bool up) {
    session_->set_link(up);
}

Result<void> Device::set_mac(const MacAddress& mac) {
    return session_->set_mac(mac);
}

void Device::set_lcore(uint16_t pair, unsigned lcore) {
    set_node(pair, memory::node_of_lcore(lcore));
}

void Device::set_node(uint16_t pair, int numa_node) {
    session_->set_node(pair, numa_node);
}

DeviceInfo Device::info() const {
    DeviceInfo info = session_->info();
    info.name = name();
    info.broken = broken();
    return info;
}

std::optional<QueueInfo> Device::queue_info(uint32_t index) const {
    auto info = session_->queue_info(index);
    if (info)
        add_to(session_->parts().queues[index].counters, info->stats);
    return info;
}

std::vector<ControlEvent> Device::events() const {
    return session_->events();
}

bool Device::broken() const noexcept {
    return session_->driver().broken();
}

Result<void> Device::release() {
    Device* const self = this;
    return control_.release({&self, 1});
}

Result<void> Control::release(std::span<Device* const> devices) {
    for (size_t i = 0; i < devices.size(); ++i) {
        auto ready = devices[i]->session_->prepare_to_release();
        if (ready)
            continue;
        for (Device* const device : devices.first(i))
            device->session_->reconcile();
        return Error{ready.error().code, devices[i]->name() + ": " + ready.error().what};
    }
    for (Device* const device : devices) {
        loop_->forget(*device->session_);
        device->session_->release();
    }
    return {};
}

Result<void> Device::destroy() {
    return end(session_->parts().config.persist);
}

Result<void> Device::remove() {
    return end(false);
}

Result<void> Device::end(bool keep) {
    if (auto stopped = session_->stop(); !stopped)
        return stopped;  // it is served as before
    control_.loop_->forget(*session_);
    return session_->destroy(keep);
}

}  // namespace vduse
