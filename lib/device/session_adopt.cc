// persist=1: the kernel's device outlives the process, and the next one goes on with it.
//
// What the driver has told us comes from the journal, ring positions from the rings: between two
// bursts no chain is in flight, so the used index in the ring is where we were. The driver notices
// a pause, and one interrupt for each queue and the configuration, in case the last one was lost
// with the process.
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "device/config.h"
#include "device/session.h"

namespace vduse::device {

Result<void> Session::open_journal() {
    if (!config_.persist && !config_.survive_crash)
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
    const Record record{
        shape_,
        config_.queue_size,
        config_.mtu,
        config_.speed,
        state_,
        config_status_,
        to_record(control)};
    const bool saved = journal_->save(record);
    if (std::exchange(journal_good_, saved) && !saved)
        log(Severity::warning,
            "%s: the journal cannot be written, the next process cannot go on with the device: %s",
            name(),
            std::strerror(errno));
}

Result<bool> Session::adopt() {
    const auto record = journal_ ? journal_->load() : std::nullopt;
    if (!record || !kernel_.has_device(config_.name))
        return false;
    const bool has_control = record->shape.has_control();
    const Shape shape = wanted_shape(has_control);
    const CtrlVq unwanted = has_control ? CtrlVq::off : CtrlVq::on;
    if (shape != record->shape || config_.ctrl_vq == unwanted ||
        config_.queue_size != record->queue_size || config_.mtu != record->mtu ||
        config_.speed != record->speed) {
        log(Severity::warning, "%s: its journal is of a device with other options", name());
        return false;
    }
    shape_ = shape;
    if (auto opened = open_node(); !opened)
        return opened.error();
    const auto features = node_->driver_features();
    if (!features || (record->state.features & ~*features) != 0) {
        log(Severity::warning, "%s: its journal is of another device", name());
        node_.reset();
        return false;
    }
    state_ = record->state;
    control_.restore(state_.features, from_record(record->control));
    // The other process may have ended between writing to the configuration space and to the
    // journal, so what is there is not known: both are written again, and the driver is told.
    link_up_ = record->config_status != 0;
    config_status_ = static_cast<uint16_t>(~record->config_status);
    config_mac_.reset();
    set_rules();
    publish(control_.state());
    for (uint32_t space = 0; space < shape_.spaces; ++space)
        remap(space);
    // A kernel that does not tell which queues are ready is asked as they start.
    for (uint32_t i = 0; i < shape_.queues(); ++i) {
        queues_[i].adopted = state_.ready(i) || !capabilities_.queue_ready();
        queues_[i].owes_interrupt.store(true, std::memory_order_relaxed);
    }
    refresh_link();
    reconcile();
    log(Severity::info, "%s: goes on with the device that is there", name());
    return true;
}

Result<void> Session::let_go() {
    if (journal_)
        remember();
    if (!journal_ || !journal_good_)
        return Error{ENOTSUP, "it has no journal from which another process could go on"};
    auto closed = close();
    if (closed)
        journal_.reset();
    return closed;
}

void Session::resume(uint32_t index) {
    Queue& queue = queues_[index];
    const auto info = node_->vq_info(index);
    if (!info || load(index, *info) != ring::LoadError::none)
        return;
    queue.ring.resume();
    queue.started_with = *info;
}

}  // namespace vduse::device
