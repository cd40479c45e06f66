// SPDX-License-Identifier: BSD-3-Clause

#include "device/create.h"

#include <cerrno>
#include <span>
#include <string>

#include "base/log.h"
#include "device/bounce.h"
#include "device/shape.h"
#include "virtio/config_space.h"

namespace vduse::device {
namespace {

constexpr const char* kNoControlQueue =
    "kernel refuses VIRTIO_NET_F_CTRL_VQ (as Linux up to 7.3 does unless its vduse.ko is patched)";

std::span<const uint8_t> bytes_of(const virtio::ConfigSpace& space) {
    return {reinterpret_cast<const uint8_t*>(&space), sizeof space};
}

Result<void> create_once(Parts& parts, const Shape& shape) {
    const std::string& name = parts.config.name;
    const virtio::ConfigSpace space = config_space(parts.config, shape);
    const bool groups = parts.capabilities.groups();
    const uapi::CreateParameters parameters{
        name,
        shape.offered,
        shape.queues(),
        groups ? shape.groups() : 0,
        groups ? shape.spaces : 0,
        bytes_of(space)};
    parts.shape = shape;
    auto created = parts.control_node->create(parameters);
    if (created || created.error().code != EEXIST)
        return created;
    // A process that is gone has left it behind, unless it is in use.
    if (auto destroyed = parts.control_node->destroy(name); !destroyed)
        return Error{
            EBUSY,
            "exists already and is in use: by another process, or on the vDPA bus ('vdpa dev del " +
                name + "' takes it off)"};
    return parts.control_node->create(parameters);
}

Result<void> create_in_kernel(Parts& parts) {
    const DeviceConfig& config = parts.config;
    const bool want_control = config.ctrl_vq != CtrlVq::off;
    auto created = create_once(parts, wanted_shape(parts, want_control));
    if (created || created.error().code != EINVAL || !want_control)
        return created;
    // EINVAL does not tell the reason. If it works without control queue, that was the reason.
    if (!create_once(parts, wanted_shape(parts, false)))
        return created;
    if (config.ctrl_vq == CtrlVq::on) {
        (void)parts.control_node->destroy(config.name);
        return Error{ENOTSUP, std::string(kNoControlQueue) + ", and ctrl_vq=on requires it"};
    }
    log(config.queue_pairs > 1 ? Severity::warning : Severity::info,
        "%s: %s: continuing without a control queue and with one queue pair%s",
        parts.name(),
        kNoControlQueue,
        // Without control queue, virtio_net cannot switch its offloads off for XDP.
        config.csum ? ", and without XDP on its netdev (csum=0 allows it)" : "");
    return {};
}

Result<void> prepare_node(Parts& parts) {
    if (auto opened = open_node(parts); !opened)
        return opened;
    const auto bounce = plan_bounce(parts.kernel, parts.config, parts.shape);
    if (!bounce)
        return bounce.error();
    parts.config.queue_size = bounce->queue_size;
    if (!bounce->note.empty())
        log(Severity::warning, "%s: %s", parts.name(), bounce->note.c_str());
    for (uint32_t i = 0; i < parts.shape.queues(); ++i)
        if (auto done = set_up_queue(parts, i, 0); !done)
            return done.error();
    return {};
}

}  // namespace

Result<void> make_anew(Parts& parts) {
    if (auto created = create_in_kernel(parts); !created)
        return created;
    auto prepared = prepare_node(parts);
    if (!prepared) {
        parts.node.reset();
        (void)parts.control_node->destroy(parts.config.name);
    } else if (!parts.journal) {
        // The journal of an earlier process is of another device now.
        Journal::forget(parts.config.journal_folder, parts.config.name);
    }
    return prepared;
}

}  // namespace vduse::device
