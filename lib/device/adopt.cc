// SPDX-License-Identifier: BSD-3-Clause

#include "device/adopt.h"

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "device/bounce.h"
#include "device/create.h"
#include "memory/space.h"
#include "net/control_queue.h"
#include "net/offload.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

/// What the user can do about a device in use whose journal this program cannot use.
std::string ways_out(const DeviceConfig& config) {
    return "start the program that wrote it; or stop the program that uses the device and 'vdpa "
           "dev del " +
           config.name +
           "'; or, when no process serves the device, remove that file: the device is then adopted "
           "without a journal";
}

Result<void> open_journal(Parts& parts) {
    const DeviceConfig& config = parts.config;
    if (!parts.outlives_us())
        return {};
    auto journal = Journal::open(config.journal_folder, config.name, config.supports_handover);
    if (!journal && (config.persist || journal.error().code == EBUSY))
        return journal.error();
    if (!journal) {
        log(Severity::info,
            "%s: the device will not survive a crash: %s",
            parts.name(),
            journal.error().text().c_str());
        return {};
    }
    parts.journal = std::move(*journal);
    return {};
}

/// Why the options do not match the existing device, or "".
std::string differs(const Parts& parts, const Record& record) {
    const DeviceConfig& config = parts.config;
    const bool has_control = record.shape.has_control();
    Shape shape = wanted_shape(parts, has_control);
    const CtrlVq unwanted = has_control ? CtrlVq::off : CtrlVq::on;
    // A newer program may offer more features. The driver has seen the old ones, and these stay.
    if ((record.shape.offered & ~shape.offered) == 0)
        shape.offered = record.shape.offered;
    const bool same = shape == record.shape && config.ctrl_vq != unwanted &&
                      (config.queue_size == 0 || config.queue_size == record.queue_size) &&
                      config.mtu == record.mtu && config.speed == record.speed;
    return same ? "" : "its journal is of a device with other options";
}

/// The state of the control queue before any driver has used it.
net::ControlState initial_control(const Parts& parts, uint64_t features) {
    net::ControlQueue control(parts.config.queue_pairs);
    control.reset(features, parts.config.mac.value_or(MacAddress{}));
    return control.state();
}

/// Adopts the existing device from `record`. false: that is not possible. `record` is cleared if it
/// does not describe the existing device.
Result<bool> adopt(Parts& parts, std::optional<Record>& record) {
    if (!record || !parts.kernel.has_device(parts.config.name))
        return false;
    if (const std::string why = differs(parts, *record); !why.empty()) {
        log(Severity::warning, "%s: %s", parts.name(), why.c_str());
        return false;
    }
    parts.shape = record->shape;
    parts.config.queue_size = record->queue_size;
    if (auto opened = open_node(parts); !opened)
        return opened.error();
    const auto features = parts.node->driver_features();
    // No features: the driver's side was killed while no process served the device, and only the
    // kernel knows of its reset.
    const bool was_reset = features && *features == 0 && record->state.features != 0;
    if (!features || (!was_reset && (record->state.features & ~*features) != 0)) {
        const bool broken = !features && features.error().code == EPERM;
        log(Severity::warning,
            "%s: %s",
            parts.name(),
            broken ? "the kernel gave the device up because no process answered"
                   : "its journal does not match the current driver");
        parts.node.reset();
        record.reset();
        return false;
    }
    if (was_reset) {
        record->state = next(parts.shape, record->state, SetStatus{0, 0, false}).state;
        record->control = initial_control(parts, 0);
        record->positions = {};
    }
    parts.inherited = std::move(record);
    log(Severity::info, "%s: adopted the existing device", parts.name());
    return true;
}

/// Opens the node, if the existing device has the queues of such a shape.
bool open_as_if(Parts& parts, bool has_control) {
    const CtrlVq unwanted = has_control ? CtrlVq::off : CtrlVq::on;
    parts.shape = wanted_shape(parts, has_control);
    if (parts.config.ctrl_vq == unwanted || parts.shape.has_control() != has_control ||
        !open_node(parts))
        return false;
    const auto features = parts.node->driver_features();
    const uint32_t queues = parts.shape.queues();
    const bool as_many_queues = parts.node->vq_info(queues - 1) && !parts.node->vq_info(queues);
    if (as_many_queues && features && (*features & ~parts.shape.offered) == 0)
        return true;
    parts.node.reset();
    return false;
}

/// Assigns to the group of a queue the space in which the queue's ring is found.
void guess_space(
    const Parts& parts,
    State& state,
    uint32_t index,
    const uapi::abi::VqInfo& info,
    const std::vector<memory::Space>& spaces
) {
    const Shape& shape = parts.shape;
    const uint32_t group = group_of(shape, state.features, index);
    const bool control = control_queue(shape, state.features) == index;
    ring::SplitRing ring;
    for (uint32_t i = 0; i < shape.spaces; ++i) {
        // QEMU maps little more than the ring in the control queue's space, but everything in the
        // space of the data queues, which may have something at the same addresses.
        const uint32_t asid = control ? shape.spaces - 1 - i : i;
        if (load_ring(parts, state, index, info, spaces[asid].table(), ring) !=
            ring::LoadError::none)
            continue;
        state = next(shape, state, SetGroupAsid{group, asid}).state;
        return;
    }
    state = next(shape, state, SetGroupAsid{group, 0}).state;
}

State guess_state(const Parts& parts) {
    State state;
    // The kernel accepts interrupts only for a driver that is ready. A driver that is not sends
    // messages, and the first of them is a reset or contains everything that is needed.
    const auto features = parts.node->driver_features();
    if (!features || !parts.node->inject_config_irq())
        return state;
    state.status = virtio::kStatusAcknowledge | virtio::kStatusDriver | virtio::kStatusFeaturesOk |
                   virtio::kStatusDriverOk;
    state.features = *features;
    std::vector<memory::Space> spaces(parts.shape.spaces);
    for (uint32_t asid = 0; asid < parts.shape.spaces; ++asid)
        if (auto space =
                memory::map_space(*parts.node, asid, spaces, parts.allocator, memory::any_node());
            space)
            spaces[asid] = std::move(*space);
    for (uint32_t i = 0; i < parts.shape.queues(); ++i)
        if (const auto info = parts.node->vq_info(i); info && info->ready != 0) {
            state = next(parts.shape, state, SetQueueReady{i, true}).state;
            guess_space(parts, state, i, *info, spaces);
        }
    return state;
}

bool adopt_without_journal(Parts& parts) {
    if (!open_as_if(parts, true) && !open_as_if(parts, false))
        return false;
    const auto bounce = plan_bounce(parts.kernel, parts.config, parts.shape);
    parts.config.queue_size = bounce ? bounce->queue_size : kDefaultQueueSize;
    const State state = guess_state(parts);
    net::ControlState control = initial_control(parts, state.features);
    control.filter.vlan_filtering = false;
    // A driver that has switched them off, for XDP, could not handle unfinished frames.
    control.offloads_off = net::guest_offload_bits(state.features);
    parts.inherited = Record{
        parts.shape,
        parts.config.queue_size,
        parts.config.mtu,
        parts.config.speed,
        state,
        virtio::kConfigLinkUp,
        std::move(control),
        {}};
    parts.guessed = true;
    log(Severity::warning,
        "%s: adopted the existing device, without a journal: its control queue settings are "
        "unknown: all frames pass, without offloads, until the driver sets them again",
        parts.name());
    return true;
}

/// Makes the device, if it has a journal that this program cannot use. `journal` says why.
Result<void> make_without(Parts& parts, const Error& journal) {
    // If the device is in use, its journal contains what the driver was promised. To guess at that
    // would be wrong while a program exists that can read it.
    auto made = make_anew(parts);
    if (made)
        log(Severity::info, "%s: made anew: %s", parts.name(), journal.what.c_str());
    else if (made.error().code == EBUSY)
        return Error{
            journal.code, "it is in use, and " + journal.what + ": " + ways_out(parts.config)};
    return made;
}

Result<void> complete(Parts& parts) {
    if (auto opened = open_control(parts); !opened)
        return opened;
    if (auto opened = open_journal(parts); !opened)
        return opened;
    auto record = parts.journal ? parts.journal->load() : std::optional<Record>();
    if (!record)
        return make_without(parts, record.error());
    const auto adopted = adopt(parts, *record);
    if (!adopted)
        return adopted.error();
    if (*adopted)
        return {};
    auto made = make_anew(parts);
    if (!made && made.error().code == EBUSY && parts.outlives_us() && !*record &&
        adopt_without_journal(parts))
        return {};
    return made;
}

}  // namespace

Result<Parts> adopt_or_make(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator, int wake_fd
) {
    Parts parts{kernel, allocator, wake_fd, config};
    if (auto done = complete(parts); !done)
        return Error{done.error().code, "device " + config.name + ": " + done.error().what};
    if (const std::string missing = describe_missing(parts.capabilities); !missing.empty())
        log(Severity::info,
            "%s: VDUSE of Linux %s lacks %s",
            parts.name(),
            kernel.release().c_str(),
            missing.c_str());
    return parts;
}

Result<void> can_adopt(
    uapi::Kernel& kernel, const DeviceConfig& config, memory::TableAllocator& allocator
) {
    const auto read = Journal::read(config.journal_folder, config.name);
    if (!read)
        return Error{
            read.error().code, config.name + ": " + read.error().what + ": " + ways_out(config)};
    const std::optional<Record>& record = *read;
    if (!record)
        return Error{ENOENT, config.name + ": it has no journal"};
    Parts parts{kernel, allocator, -1, config};
    if (auto opened = open_control(parts); !opened)
        return opened;
    if (const std::string why = differs(parts, *record); !why.empty())
        return Error{EINVAL, config.name + ": " + why};
    return {};
}

}  // namespace vduse::device
