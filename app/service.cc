// SPDX-License-Identifier: BSD-3-Clause

// How it works: see service.h. The order of `finish` matters. The kernel sends messages to devices
// while they are removed from the vDPA bus, so they are still served then. Workers stop before
// their devices are destroyed, and devices are destroyed before Control.
#include "app/service.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "app/control/console.h"
#include "app/control/exit_timer.h"
#include "app/control/signals.h"
#include "app/ports/port_endpoint.h"
#include "app/ports/probe.h"
#include "app/report/stats_text.h"
#include "app/topology.h"
#include "vduse/bus.h"

namespace vduse::app {
namespace {

constexpr std::chrono::milliseconds kLinkPeriod{100};
static_assert(kMaxBridgeMembers == kMaxMembers);

/// Whether the device was adopted, and can still be left to another process.
bool went_on(const Endpoint& endpoint) {
    return endpoint.device->info().adopted && !endpoint.device->broken();
}

std::string milliseconds(std::chrono::nanoseconds time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

void print_commands(const std::string& name) {
    print(
        name +
        ": to attach it to a driver, type:\n"
        "  modprobe virtio_vdpa   (a netdev of this host), or\n"
        "  modprobe vhost_vdpa    (/dev/vhost-vdpa-N for QEMU), and then\n"
        "  vdpa dev add name " +
        name + " mgmtdev vduse\n"
    );
}

}  // namespace

Service::Service(const Options& options, Start start)
    : options_(options), start_(std::move(start)) {
}

Service::~Service() = default;

Result<void> Service::start() {
    auto control = Control::create();
    if (!control)
        return control.error();
    control_ = std::move(*control);
    blocking_ = std::make_unique<BlockingThread>(*control_);
    watch_signals(*control_);
    lines::start();
    const auto begin = Clock::now();
    if (auto done = add_devices(); !done)
        return done;
    if (signalled())
        return Error{ECANCELED, "interrupted"};
    const auto devices_there = Clock::now();
    if (auto done = run_blocking(&Service::add_ports); !done)
        return done;
    if (auto done = connect(); !done)
        return done;
    if (auto done = switch_->start(
            pool_, {.idle = std::chrono::microseconds(options_.idle_us), .gro = options_.gro}
        );
        !done)
        return done;
    running_ = true;
    start_telemetry();
    print(
        "vduse-dp: ready (EAL " + std::to_string(start_.eal_took.count()) + " ms, devices " +
        milliseconds(devices_there - begin) + " ms, ports " +
        milliseconds(Clock::now() - devices_there) + " ms)\n"
    );
    start_attach();
    return {};
}

Result<void> Service::add_devices() {
    for (const DeviceOptions& option : options_.devices) {
        const DeviceConfig& config = option.config;
        auto device = control_->add(config);
        if (!device)
            return device.error();
        auto endpoint = make_endpoint(option.config.name, (*device)->queue_pairs());
        endpoint->set_device(**device);
        endpoint->persist = config.persist;
        endpoint->group_per_pair = config.groups == Groups::per_pair;
        endpoint->group_lcores = option.group_lcores;
        devices_.push_back(std::move(endpoint));
        owned_.push_back(std::move(*device));
    }
    return {};
}

Result<void> Service::run_blocking(Result<void> (Service::*work)()) {
    blocking_->start({[this, work] {
        blocking_result_ = (this->*work)();
        return TaskResult{};
    }});
    if (auto done = wait_for_blocking(); !done)
        return done;
    return blocking_result_;
}

Result<void> Service::wait_for_blocking() {
    while (blocking_->busy()) {
        if (!finishing_ && signalled())
            return Error{ECANCELED, "interrupted"};
        control_->run_once(kLinkPeriod.count());
    }
    print_results();
    return {};
}

Result<void> Service::add_ports() {
    if (!start_.vdevs.empty() || !options_.ports.empty())
        if (auto done = await_end(start_.predecessors); !done)
            return done;
    std::vector<std::string> names;
    for (const PortOptions& port : options_.ports)
        names.push_back(port.name);
    const auto ports = probe_ports(start_.vdevs, names, !start_.predecessors.empty());
    if (!ports) {
        if (ports.error().code == EINVAL)
            fail(kBadInput);
        return ports.error();
    }
    return start_ports(*ports);
}

Result<void> Service::start_ports(const std::vector<uint16_t>& ports) {
    std::vector<Result<PortPlan>> plans;
    for (size_t i = 0; i < ports.size(); ++i) {
        const PortOptions& option = options_.ports[i];
        PortNeeds needs = needs_of(options_, owned_, i);
        needs.rx_interrupts = options_.idle_us != 0;
        if (option.queues != 0)
            needs.queues = option.queues;
        plans.push_back(plan_port(option.name, ports[i], needs));
    }
    const auto pool = create_pool(options_, plans);
    if (!pool)
        return pool.error();
    pool_ = *pool;
    for (size_t i = 0; i < ports.size(); ++i) {
        ports_.push_back(make_port_endpoint(options_.ports[i].name, ports[i], plans[i], pool_));
        if (!ports_.back()->in_service.load(std::memory_order_relaxed))
            fail();
    }
    return {};
}

Result<void> Service::connect() {
    switch_ = std::make_unique<Switch>();
    for (const PatchOption& patch : options_.patches) {
        switch_->patch(endpoint(patch.a), endpoint(patch.b));
        links_.patch(endpoint(patch.a), endpoint(patch.b));
    }
    for (const EndpointOption option : options_.reflects) {
        switch_->reflect(endpoint(option));
        links_.keep_up(endpoint(option));
    }
    for (const BridgeOption& option : options_.bridges)
        if (auto done = make_bridge(option); !done)
            return done;
    auto plan = switch_->assign_workers();
    if (!plan)
        return plan.error();
    print(*plan);
    for (auto& device : devices_)
        for (uint16_t pair = 0; pair < device->queues; ++pair)
            if (device->lcores[pair] != LCORE_ID_ANY)
                device->device->set_lcore(pair, device->lcores[pair]);
    port_monitor_.start(ports_);
    links_.poll();
    return {};
}

Result<void> Service::make_bridge(const BridgeOption& option) {
    std::vector<BridgeMember> members;
    std::vector<Endpoint*> endpoints;
    for (const EndpointOption member : option.members) {
        Endpoint& place = endpoint(member);
        members.push_back(
            member.port ? port_member(place)
                        : device_member(place, options_.devices[member.index].config.mac)
        );
        endpoints.push_back(&place);
        links_.keep_up(place);
    }
    auto bridge = Bridge::create(
        "bridge" + std::to_string(bridges_.size()), members, option.age_seconds * rte_get_tsc_hz()
    );
    if (!bridge)
        return bridge.error();
    switch_->join(**bridge, endpoints);
    bridges_.push_back(std::move(*bridge));
    return {};
}

void Service::start_telemetry() {
    std::vector<const Endpoint*> devices;
    for (const auto& device : devices_)
        devices.push_back(device.get());
    std::vector<const Bridge*> bridges;
    for (const auto& bridge : bridges_)
        bridges.push_back(bridge.get());
    telemetry_ = std::make_unique<Telemetry>(
        [this] { control_->wake(); }, std::move(devices), std::move(bridges), rte_get_main_lcore()
    );
}

void Service::start_attach() {
    std::vector<Task> tasks;
    for (const DeviceOptions& option : options_.devices) {
        const std::string& name = option.config.name;
        if (option.config.attach == Attach::none)
            print_commands(name);
        else
            tasks.emplace_back([name, driver = bus::bus_driver_of(option.config.attach)] {
                return attach(name, driver);
            });
    }
    if (!tasks.empty())
        blocking_->start(std::move(tasks));
}

void Service::run() {
    next_links_ = Clock::now() + kLinkPeriod;
    next_stats_ = Clock::now() + std::chrono::seconds(options_.stats_seconds);
    while (!stop_ && !signalled()) {
        control_->run_once(kLinkPeriod.count());
        telemetry_->serve();
        tick();
        // Not during an attach: the kernel waits for answers of the device.
        if (!blocking_->busy() && asked_to_hand_over())
            hand_over();
    }
}

void Service::hand_over() {
    const std::string last = stats();
    std::vector<Device*> all;
    for (const auto& device : owned_)
        all.push_back(device.get());
    if (const auto gone = control_->release(all); !gone)
        return print_note("hand-over refused: " + gone.error().text());
    given_away_ = true;
    stop_ = true;
    print(last + "vduse-dp: handed over\n");
}

void Service::tick() {
    poll_devices();
    print_results();
    const auto now = Clock::now();
    if (now >= next_links_) {
        links_.poll();
        next_links_ = now + kLinkPeriod;
    }
    if (options_.stats_seconds != 0 && now >= next_stats_) {
        if (lines::waiting() == 0)  // else nobody reads the output
            print(stats());
        next_stats_ += std::chrono::seconds(options_.stats_seconds);
    }
}

void Service::poll_devices() {
    for (auto& endpoint : devices_) {
        if (!endpoint->in_service.load(std::memory_order_relaxed) || !endpoint->device->broken())
            continue;
        endpoint->in_service.store(false, std::memory_order_relaxed);
        fail();
    }
    const bool none_left = std::ranges::none_of(devices_, [](const auto& endpoint) {
        return endpoint->in_service.load(std::memory_order_relaxed);
    });
    stop_ = stop_ || none_left;
}

void Service::print_results() {
    for (const TaskResult& result : blocking_->take_results()) {
        if (result.stays)
            staying_.push_back(result.device);
        if (result.failed) {
            print_error(result.line);
            fail();
            stop_ = true;
        } else if (!result.line.empty()) {
            print(result.line + "\n");
        }
    }
}

std::string Service::stats() const {
    std::string text;
    for (const auto& device : devices_)
        text += device_block(*device, rte_get_main_lcore());
    for (const auto& port : ports_)
        text += port_line(*port);
    for (const auto& bridge : bridges_)
        text += bridge_line(*bridge);
    for (const WorkerInfo& worker : switch_->workers())
        text += worker_line(worker);
    return text;
}

int Service::finish() {
    start_exit_watchdog();
    finishing_ = true;
    if (blocking_ != nullptr) {
        exit_step("waiting for port creation");
        blocking_->cancel();
        (void)wait_for_blocking();
    }
    if (!running_) {
        fail();
    } else if (!given_away_) {
        print(stats());
    }
    telemetry_.reset();
    if (control_ != nullptr && !given_away_) {
        for (const auto& device : devices_)
            device->persist =
                device->persist && !device->device->broken() && bus::vdpa_may_stay(device->name);
        exit_step("setting links down");
        links_.all_down([this](const Endpoint& device) { return stays(device); });
        detach_devices();
    }
    exit_step("stopping the workers");
    switch_.reset();
    bridges_.clear();
    exit_step("closing the ports");
    if (blocking_ != nullptr)
        (void)run_blocking(&Service::close_ports);
    destroy_devices();
    rte_mempool_free(pool_);
    forget_signals();
    blocking_.reset();
    control_.reset();
    exit_step("flushing the output");
    (void)lines::flush(std::chrono::hours(1));  // the watchdog ends it before that
    return status_;
}

bool Service::stays(const Endpoint& device) const {
    return device.persist || left_alone(device);
}

bool Service::left_alone(const Endpoint& device) const {
    return !running_ && went_on(device);
}

Result<void> Service::close_ports() {
    port_monitor_.stop();
    close_all_ports();
    return {};
}

void Service::detach_devices() {
    exit_step("taking the devices off the vDPA bus");
    std::vector<Task> tasks;
    for (const auto& device : devices_)
        if (!device->persist && !left_alone(*device))
            tasks.emplace_back([name = device->name] { return detach(name); });
    blocking_->start(std::move(tasks));
    (void)wait_for_blocking();
}

void Service::destroy_devices() {
    exit_step("destroying the devices");
    if (given_away_)
        owned_.clear();
    for (size_t i = 0; i < owned_.size(); ++i) {
        auto& device = owned_[i];
        const std::string name = device->name();
        auto done = left_alone(*devices_[i]) ? device->release()
                    : devices_[i]->persist   ? device->destroy()
                                             : device->remove();
        device.reset();
        if (done || std::ranges::find(staying_, name) != staying_.end())
            continue;
        print_error(name + ": " + done.error().text());
        fail();
    }
}

}  // namespace vduse::app
