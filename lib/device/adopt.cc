// The kernel's device outlives the process (persist, survive_crash), and the next one goes on with
// it.
//
// What the driver has told us comes from the journal, ring positions from the rings: between two
// bursts no chain is in flight, so the used index in the ring is where we were. The driver notices
// a pause, and one interrupt for each queue and the configuration, in case the last one was lost
// with the process.
//
// Without a journal, and when the device cannot be made anew since it is on the vDPA bus, what the
// kernel can be asked is taken from it, the rest is guessed so that no frame is held back and no
// memory touched that is not in the driver's own spaces.
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/bounce.h"
#include "device/session.h"
#include "device/shape.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

/// No status of a link: the next one is written in any case.
constexpr uint16_t kUnknownStatus = 0xffff;

/// What a person can do about a device in use whose journal is not for this program.
std::string ways_out(const DeviceConfig& config) {
    return "start the program that wrote it; or end what uses the device and 'vdpa dev del " +
           config.name +
           "'; or, when no process serves the device, remove that file: it is adopted without a "
           "journal then";
}

}  // namespace

Result<void> Session::open_journal() {
    if (!outlives_us())
        return {};
    auto journal = Journal::open(config_.journal_folder, config_.name, config_.hands_over);
    if (!journal && (config_.persist || journal.error().code == EBUSY))
        return journal.error();
    if (!journal) {
        log(Severity::info,
            "%s: it will not survive a crash: %s",
            name(),
            journal.error().text().c_str());
        return {};
    }
    journal_ = std::move(*journal);
    return {};
}

void Session::remember(const net::ControlState& control) {
    if (!journal_ || !node_)
        return;
    Record record{
        shape_,
        config_.queue_size,
        config_.mtu,
        config_.speed,
        state_,
        config_status_,
        control,
        {}};
    for (uint32_t i = 0; i < shape_.queues(); ++i)
        record.positions[i] = queues_[i].started_at;
    const bool saved = journal_->save(record);
    if (std::exchange(journal_good_, saved) && !saved)
        log(Severity::warning,
            "%s: the journal cannot be written, the next process cannot go on with the device: %s",
            name(),
            std::strerror(errno));
}

std::string Session::differs(const Record& record) const {
    const bool has_control = record.shape.has_control();
    Shape shape = wanted_shape(has_control);
    const CtrlVq unwanted = has_control ? CtrlVq::off : CtrlVq::on;
    // A newer program may offer more. The driver has seen what there was, and that stays.
    if ((record.shape.offered & ~shape.offered) == 0)
        shape.offered = record.shape.offered;
    const bool same = shape == record.shape && config_.ctrl_vq != unwanted &&
                      (config_.queue_size == 0 || config_.queue_size == record.queue_size) &&
                      config_.mtu == record.mtu && config_.speed == record.speed;
    return same ? "" : "its journal is of a device with other options";
}

Result<void> Session::can_adopt(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::Placer& placer
) {
    const auto read = Journal::read(config.journal_folder, config.name);
    if (!read)
        return Error{
            read.error().code, config.name + ": " + read.error().what + ": " + ways_out(config)};
    const std::optional<Record>& record = *read;
    if (!record)
        return Error{ENOENT, config.name + ": it has no journal"};
    Session session(kernel, config, placer, -1, {});
    if (auto opened = session.open_control(); !opened)
        return opened;
    if (const std::string why = session.differs(*record); !why.empty())
        return Error{EINVAL, config.name + ": " + why};
    return {};
}

Result<void> Session::adopt_or_make() {
    auto record = journal_ ? journal_->load() : std::optional<Record>();
    if (!record)
        return make_without(record.error());
    const auto adopted = adopt(*record);
    if (!adopted)
        return adopted.error();
    if (*adopted)
        return {};
    auto made = make();
    if (!made && made.error().code == EBUSY && outlives_us() && !*record && adopt_without_journal())
        return {};
    return made;
}

Result<void> Session::make_without(const Error& journal) {
    // Of a device in use, the journal knows what the driver was promised. To guess at that while a
    // program exists that can read it would be wrong.
    auto made = make();
    if (made)
        log(Severity::info, "%s: made anew: %s", name(), journal.what.c_str());
    else if (made.error().code == EBUSY)
        return Error{journal.code, "it is in use, and " + journal.what + ": " + ways_out(config_)};
    return made;
}

Result<bool> Session::adopt(std::optional<Record>& record) {
    if (!record || !kernel_.has_device(config_.name))
        return false;
    if (const std::string why = differs(*record); !why.empty()) {
        log(Severity::warning, "%s: %s", name(), why.c_str());
        return false;
    }
    shape_ = record->shape;
    config_.queue_size = record->queue_size;
    if (auto opened = open_node(); !opened)
        return opened.error();
    const auto features = node_->driver_features();
    // None: the driver's side was killed while no process was there, and its reset is known to the
    // kernel alone.
    const bool was_reset = features && *features == 0 && record->state.features != 0;
    if (!features || (!was_reset && (record->state.features & ~*features) != 0)) {
        const bool broken = !features && features.error().code == EPERM;
        log(Severity::warning,
            "%s: %s",
            name(),
            broken ? "the kernel gave it up when no process answered"
                   : "its journal is not of the driver that is there");
        node_.reset();
        record.reset();
        return false;
    }
    state_ = record->state;
    control_.restore(state_.features, record->control);
    for (uint32_t i = 0; i < shape_.queues(); ++i)
        queues_[i].started_at = record->positions[i];
    if (was_reset) {
        state_ = next(shape_, state_, SetStatus{0, 0, false}).state;
        reset();
    }
    link_up_ = record->config_status != 0;
    for (uint32_t space = 0; space < shape_.spaces; ++space)
        remap(space);
    go_on();
    log(Severity::info, "%s: goes on with the device that is there", name());
    return true;
}

bool Session::open_as_if(bool has_control) {
    const CtrlVq unwanted = has_control ? CtrlVq::off : CtrlVq::on;
    shape_ = wanted_shape(has_control);
    if (config_.ctrl_vq == unwanted || shape_.has_control() != has_control || !open_node())
        return false;
    const auto features = node_->driver_features();
    const bool as_many_queues =
        node_->vq_info(shape_.queues() - 1) && !node_->vq_info(shape_.queues());
    if (as_many_queues && features && (*features & ~shape_.offered) == 0)
        return true;
    node_.reset();
    return false;
}

bool Session::adopt_without_journal() {
    if (!open_as_if(true) && !open_as_if(false))
        return false;
    const auto bounce = plan_bounce(kernel_, config_, shape_);
    config_.queue_size = bounce ? bounce->queue_size : kDefaultQueueSize;
    guess_state();
    go_on();
    log(Severity::warning,
        "%s: goes on with the device that is there, without a journal: what its driver set by "
        "the control queue is not known, and all frames pass until it says so again",
        name());
    return true;
}

void Session::guess_state() {
    // The kernel lets us interrupt a driver that is ready, and no other. One that is not goes on by
    // messages, of which the first is a reset or has all that we need.
    const auto features = node_->driver_features();
    const bool running = features && node_->inject_config_irq();
    if (running) {
        state_.status = virtio::kStatusAcknowledge | virtio::kStatusDriver |
                        virtio::kStatusFeaturesOk | virtio::kStatusDriverOk;
        state_.features = *features;
    }
    link_up_ = true;
    control_.reset(state_.features, mac_);
    net::ControlState control = control_.state();
    control.filter.vlan_filtering = false;
    control_.restore(state_.features, control);
    for (uint32_t space = 0; space < shape_.spaces; ++space)
        remap(space);
    for (uint32_t i = 0; i < shape_.queues(); ++i) {
        queues_[i].adopted = true;  // its position may be asked for, for it may be suspended
        if (const auto info = node_->vq_info(i); running && info && info->ready != 0) {
            state_ = next(shape_, state_, SetQueueReady{i, true}).state;
            guess_space(i, *info);
        }
    }
}

void Session::guess_space(uint32_t index, const uapi::abi::VqInfo& info) {
    const uint32_t group = group_of(shape_, state_.features, index);
    for (uint32_t i = 0; i < shape_.spaces; ++i) {
        // QEMU keeps little else in the control queue's space than its ring, and everything in that
        // of the data queues, which may well have something at the same addresses.
        const uint32_t space = is_control(index) ? shape_.spaces - 1 - i : i;
        state_ = next(shape_, state_, SetGroupAsid{group, space}).state;
        if (load(index, info) == ring::LoadError::none)
            return;
    }
    state_ = next(shape_, state_, SetGroupAsid{group, 0}).state;
}

void Session::go_on() {
    adopted_ = true;
    set_rules();
    config_mac_.reset();
    publish(control_.state());
    // A kernel that does not tell which queues are ready is asked as they start.
    for (uint32_t i = 0; i < shape_.queues(); ++i) {
        if (state_.ready(i) || !capabilities_.queue_ready())
            queues_[i].adopted = true;
        queues_[i].owes_interrupt.store(true, std::memory_order_relaxed);
    }
    // The other process may have ended between writing to the configuration space and to the
    // journal, so what is there is not known: both are written again, and the driver is told.
    config_status_ = kUnknownStatus;
    refresh_link();
    reconcile();
}

Result<void> Session::prepare_to_let_go() {
    if (journal_)
        remember();
    if (!journal_ || !journal_good_)
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
    journal_.reset();
}

void Session::resume(uint32_t index) {
    Queue& queue = queues_[index];
    const auto info = node_->vq_info(index);
    if (!info || load(index, *info) != ring::LoadError::none)
        return;
    queue.ring.resume(queue.started_at);
    queue.started_with = *info;
}

}  // namespace vduse::device
