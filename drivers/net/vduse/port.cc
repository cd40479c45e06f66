// SPDX-License-Identifier: BSD-3-Clause

#include "port.h"

#include <fcntl.h>
#include <rte_alarm.h>
#include <rte_interrupts.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "log.h"
#include "vduse/bus.h"
#include "vduse/info.h"
#include "vduse/limits.h"

namespace vduse::pmd {
namespace {

/// 16 MiB. An application holds no more large frames than this for long.
constexpr uint32_t kLargeBuffers = 256;

}  // namespace

Result<std::unique_ptr<Port>> Port::create(DevArgs arguments, ControlThread control) {
    auto port = std::unique_ptr<Port>(new Port(std::move(arguments), std::move(control)));
    const DeviceConfig& config = port->arguments_.config;
    if (port->arguments_.ext_buffer) {
        static std::atomic<unsigned> made_before = 0;
        auto buffers = LargeBuffers::create(
            "vduse_large_" + std::to_string(made_before++), kLargeBuffers, SOCKET_ID_ANY
        );
        if (!buffers)
            return buffers.error();
        port->large_buffers = std::move(*buffers);
    }
    Result<void> made;
    port->control_.run([&](Control& library) {
        auto added = library.add(config);
        if (!added) {
            made = added.error();
            return;
        }
        port->device = std::move(*added);
        // An adopted device with a guest driver: the guest sees a crash as a pause, so the carrier
        // stays up.
        port->keeps_carrier_ = port->device->driver_ok();
    });
    if (!made)
        return made.error();
    for (uint16_t pair = 0; pair < port->device->queue_pairs(); ++pair)
        port->queue_pairs.push_back(port->device->queue_pair(pair));
    port->locks = std::make_unique<PairLocks[]>(port->queue_pairs.size());
    if (auto owned = port->own(); !owned)
        return owned.error();
    if (auto attached = port->attach(); !attached)
        return attached.error();
    return port;
}

Result<void> Port::own() const {
    const std::string node = "/dev/vduse/" + name();
    const auto keep = [](const auto& id) { return id ? *id : static_cast<uid_t>(-1); };
    if ((arguments_.owner || arguments_.group) &&
        ::chown(node.c_str(), keep(arguments_.owner), keep(arguments_.group)) != 0)
        return Error{errno, "owner of " + node};
    if (arguments_.mode && ::chmod(node.c_str(), *arguments_.mode) != 0)
        return Error{errno, "mode of " + node};
    return {};
}

Result<void> Port::attach() {
    if (arguments_.config.attach == Attach::none)
        return {};
    // A device that was not on the bus before must be detached again, even if this fails.
    attached_ = !bus::vdpa_exists(name());
    if (auto done = bus::vdpa_attach(name(), bus::bus_driver_of(arguments_.config.attach)); !done)
        return done;
    attached_ = true;
    if (arguments_.netdev.empty() && arguments_.netns.empty())
        return {};
    return bus::place_netdev(name(), arguments_.netdev, arguments_.netns);
}

Port::~Port() {
    if (!device)
        return;
    if (dev_ != nullptr) {
        control_.run([this](Control& /*library*/) { ControlThread::remove(*this); });
        rte_eal_alarm_cancel(call_back, this);
    }
    const bool keep = (!attached_ || arguments_.config.persist) && bus::vdpa_may_stay(name());
    // If probe fails, a device that was on the bus before stays there for the next try.
    const bool leaves = !keep && (dev_ != nullptr || attached_);
    bool said = false;
    if (leaves)
        if (const auto done = bus::vdpa_detach(name()); !done) {
            log(Topic::driver,
                Severity::warning,
                "%s: %s",
                name().c_str(),
                done.error().what.c_str());
            said = true;
        }
    control_.run([&](Control& /*library*/) {
        // EBUSY: it is on the bus, and stays there without us.
        if (const auto done = leaves ? device->remove() : device->destroy();
            !done && !(said && done.error().code == EBUSY))
            log(Topic::driver, Severity::warning, "%s", done.error().text().c_str());
        device.reset();
    });
}

void Port::serve(rte_eth_dev* dev) {
    number = dev->data->port_id;
    auto* shared = static_cast<SecondaryStats*>(dev->data->dev_private);
    shared->pairs = device->queue_pairs();
    shared->rx_offloads = rx_offloads();
    shared->max_mtu = max_mtu();
    shared->speed = speed();
    shared->full_duplex = arguments_.config.full_duplex;
    control_.run([this, dev](Control& /*library*/) {
        dev_ = dev;
        ControlThread::add(*this);
    });
}

// ---- the link

void Port::start() {
    control_.run([this](Control& /*library*/) {
        keeps_carrier_ = false;
        running = true;
        // Place lookup tables on the node of the polling lcore, also those of an adopted device.
        const uint16_t count = dev_->data->nb_rx_queues;
        for (uint16_t pair = 0; pair < queue_pairs.size() && count != 0; ++pair) {
            const auto& queue = *static_cast<RxQueue*>(dev_->data->rx_queues[pair % count]);
            if (queue.node >= 0)
                device->set_node(pair, queue.node);
        }
        refresh_link();
    });
}

void Port::stop() {
    control_.run([this](Control& /*library*/) {
        keeps_carrier_ = false;
        running = false;
        refresh_link();
    });
}

void Port::set_admin(bool up) {
    control_.run([this, up](Control& /*library*/) {
        admin_ = up;
        refresh_link();
    });
}

void Port::refresh_link() {
    const bool carrier = running && admin_;
    if (!keeps_carrier_)
        device->set_link(carrier);
    const bool up = carrier && device->driver_ok() && !device->broken();
    if (up == up_.exchange(up))
        return;
    auto* shared = static_cast<SecondaryStats*>(dev_->data->dev_private);
    shared->up = up;
    const rte_eth_link now = link();
    rte_eth_linkstatus_set(dev_, &now);
    log(Topic::driver, Severity::info, "%s: link %s", name().c_str(), up ? "up" : "down");
    if (dev_->data->dev_conf.intr_conf.lsc != 0)
        tell_link();
}

void Port::tell_link() {
    // From EAL's thread: the application's callback may wait for a thread that waits for this one.
    if (rte_eal_alarm_set(1, call_back, this) != 0)
        log(Topic::driver,
            Severity::error,
            "%s: cannot set an EAL alarm: link event lost",
            name().c_str());
}

void Port::call_back(void* port) {
    rte_eth_dev_callback_process(static_cast<Port*>(port)->dev_, RTE_ETH_EVENT_INTR_LSC, nullptr);
}

rte_eth_link Port::link() const {
    return link_of(up_, speed(), arguments_.config.full_duplex);
}

void Port::run() {
    if (device->broken() && !std::exchange(said_broken_, true))
        log(Topic::driver,
            Severity::error,
            "%s: the kernel gave the device up; close the port and probe it again",
            name().c_str());
    refresh_link();
    auto* shared = static_cast<SecondaryStats*>(dev_->data->dev_private);
    const uint32_t wanted = shared->wanted.load(std::memory_order_acquire);
    if (wanted == shared->made.load(std::memory_order_relaxed))
        return;
    shared->stats = stats();
    shared->made.store(wanted, std::memory_order_release);
}

// ---- queries

Result<void> Port::set_mac(const std::array<uint8_t, 6>& mac) {
    Result<void> done;
    control_.run([&](Control& /*library*/) { done = device->set_mac(mac); });
    return done;
}

DeviceInfo Port::info() const {
    DeviceInfo info;
    control_.run([&](Control& /*library*/) { info = device->info(); });
    return info;
}

PortStats Port::counters() const {
    PortStats all;
    all.pairs = device->queue_pairs();
    // Subtrahends are read first, as the counters change meanwhile.
    for (uint16_t i = 0; i < kMaxQueues; ++i) {
        const QueueCounters& queue = queues[i];
        const Traffic withheld = {
            queue.finisher.withheld.read(), queue.finisher.withheld_bytes.read()};
        const Traffic segments = {
            queue.finisher.segments.read(), queue.finisher.segment_bytes.read()};
        if (i < kCountedQueues) {
            all.rx_queue[i] = {
                queue.rx_frames.read() - withheld.frames + segments.frames,
                queue.rx_bytes.read() - withheld.bytes + segments.bytes};
            all.tx_queue[i] = {queue.tx_frames.read(), queue.tx_bytes.read()};
        }
        all.vlan_filtered.frames += queue.vlan_filtered.read();
        all.vlan_filtered.bytes += queue.vlan_filtered_bytes.read();
        all.vlan_errors += queue.vlan_errors.read();
        all.withheld.frames += withheld.frames;
        all.withheld.bytes += withheld.bytes;
        all.segments.frames += segments.frames;
        all.segments.bytes += segments.bytes;
        all.csum_done += queue.finisher.csum_done.read();
        all.cut += queue.finisher.cut.read();
        all.unfinished_dropped += queue.finisher.dropped.read();
    }
    for (uint16_t pair = 0; pair < all.pairs; ++pair)
        all.pair[pair] = {queue_pairs[pair].from_guest_stats(), queue_pairs[pair].to_guest_stats()};
    return all;
}

PortStats Port::stats() const {
    const std::lock_guard lock(stats_lock_);
    return counters() -= before_;
}

void Port::reset_stats() {
    const std::lock_guard lock(stats_lock_);
    before_ = counters();
}

uint64_t Port::rx_offloads() const {
    uint64_t offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    if (!linear())
        offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
    // An application that reads the legacy flags computes all checksums itself, and does not
    // request this offload.
    if (!arguments_.legacy_flags)
        offloads |= RTE_ETH_RX_OFFLOAD_CHECKSUM;
    if (offers_large() && !linear())
        offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
    return offloads;
}

void Port::set_rules() {
    const uint64_t offloads = dev_->data->dev_conf.rxmode.offloads;
    scatter = !linear() && (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
    constexpr uint64_t kSums = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    const bool wants_large =
        arguments_.always_large || (offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0;
    RxRules rules;
    rules.legacy = arguments_.legacy_flags;
    rules.large = offers_large() && wants_large && !linear();
    dev_->data->scattered_rx = (scatter || rules.large) && !large_buffers ? 1 : 0;
    // Requesting this offload means that the application wants to know whether checksums are right.
    // Open vSwitch up to 3.1 knows no more than that. Frames without checksums are only for
    // applications that are known to understand them.
    const bool wants_sums = (offloads & kSums) == kSums;
    rules.csum = rules.legacy || (wants_sums && (arguments_.leave_sums || rules.large));
    rules.good = wants_sums;
    const bool takes_all = rules.csum && (rules.large || !offers_large()) && !rules.legacy;
    rules.look = arguments_.config.csum && !takes_all;
    rx_rules = rules;
    vlan_strip = (offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
    vlan_filter = (offloads & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0;
    vlan_insert = (dev_->data->dev_conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0;
    longest = max_frame(dev_->data->mtu);
}

// ---- rx interrupts

Result<void> Port::install_interrupts() {
    const uint16_t count = dev_->data->nb_rx_queues;
    rte_intr_handle* handle = dev_->intr_handle;
    if (rte_intr_vec_list_alloc(handle, "vduse_vectors", count) != 0)
        return Error{ENOMEM, "interrupt vectors"};
    for (uint16_t i = 0; i < count; ++i) {
        auto& queue = *static_cast<RxQueue*>(dev_->data->rx_queues[i]);
        queue.interrupts = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
        if (!queue.interrupts)
            return Error{errno, "epoll"};
        for (unsigned pair = i; pair < queue_pairs.size(); pair += count) {
            epoll_event event{};
            event.events = EPOLLIN;
            if (::epoll_ctl(
                    queue.interrupts.get(), EPOLL_CTL_ADD, queue_pairs[pair].kick_fd(), &event
                ) != 0)
                return Error{errno, "epoll"};
        }
        if (rte_intr_vec_list_index_set(handle, i, RTE_INTR_VEC_RXTX_OFFSET + i) != 0 ||
            rte_intr_efds_index_set(handle, i, queue.interrupts.get()) != 0)
            return Error{ENOSPC, "interrupt vectors"};
    }
    // An epoll fd is not read. Enabling the interrupt of a queue reads the eventfds in it.
    if (rte_intr_efd_counter_size_set(handle, 0) != 0 || rte_intr_nb_efd_set(handle, count) != 0 ||
        rte_intr_max_intr_set(handle, count + 1) != 0 ||
        rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV) != 0)
        return Error{EINVAL, "the interrupt handle"};
    return {};
}

void Port::remove_interrupts() {
    // Otherwise EAL would take the fds of the next start for the ones it has registered.
    rte_intr_free_epoll_fd(dev_->intr_handle);
    rte_intr_vec_list_free(dev_->intr_handle);
    rte_intr_nb_efd_set(dev_->intr_handle, 0);
    for (uint16_t i = 0; i < dev_->data->nb_rx_queues; ++i)
        if (auto* queue = static_cast<RxQueue*>(dev_->data->rx_queues[i]); queue != nullptr)
            queue->interrupts = UniqueFd();
}

}  // namespace vduse::pmd
