// SPDX-License-Identifier: BSD-3-Clause

#include "device/parts.h"

#include <sys/eventfd.h>

#include <cerrno>

#include "base/log.h"
#include "device/shape.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

UniqueFd make_eventfd() {
    return UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

}  // namespace

Result<void> open_control(Parts& parts) {
    auto control_node = parts.kernel.open_control();
    if (!control_node)
        return control_node.error();
    parts.control_node = std::move(*control_node);
    const auto capabilities = agree(*parts.control_node);
    if (!capabilities)
        return capabilities.error();
    parts.capabilities = *capabilities;
    return check(parts.config, parts.capabilities, parts.kernel.release());
}

Shape wanted_shape(const Parts& parts, bool with_control) {
    Shape shape = shape_of(parts.config, with_control);
    if (!parts.capabilities.groups()) {
        shape.grouped = false;
        shape.spaces = 1;
    }
    return shape;
}

Result<void> open_node(Parts& parts) {
    parts.kick = make_eventfd();
    if (!parts.kick)
        return Error{errno, "eventfd"};
    auto node = parts.kernel.open_device(parts.config.name, parts.capabilities.api_version);
    if (!node)
        return node.error();
    parts.node = std::move(*node);
    parts.queues = std::make_unique<Queue[]>(parts.shape.queues());
    for (uint32_t i = 0; i < parts.shape.queues(); ++i) {
        Queue& queue = parts.queues[i];
        queue.index = i;
        queue.node = parts.node.get();
        queue.wake_fd = parts.wake_fd;
        const bool from_guest = i % 2 == 1;
        if (from_guest && !(queue.kick = make_eventfd()))
            return Error{errno, "eventfd"};
    }
    return {};
}

Result<void> set_up_queue(const Parts& parts, uint32_t index, uint64_t features) {
    const Shape& shape = parts.shape;
    const bool last = shape.has_control() && index == 2U * shape.pairs;
    return parts.node->vq_setup(
        index, last ? kControlQueueSize : parts.config.queue_size, group_of(shape, features, index)
    );
}

void regroup(const Parts& parts, uint64_t features) {
    if (!parts.shape.has_control())
        return;
    const auto set_up = [&](uint32_t index) {
        if (const auto done = set_up_queue(parts, index, features); !done)
            log(Severity::error, "%s: %s", parts.name(), done.error().text().c_str());
    };
    set_up(2);
    if (const uint32_t last = 2U * parts.shape.pairs; last != 2)
        set_up(last);
}

ring::LoadError load_ring(
    const Parts& parts,
    const State& state,
    uint32_t index,
    const uapi::abi::VqInfo& info,
    const memory::Table* table,
    ring::SplitRing& ring
) {
    // A queue that QEMU shadows and that its driver did not set up has no size.
    const bool control = control_queue(parts.shape, state.features) == index;
    const uint32_t no_size = control ? kControlQueueSize : parts.config.queue_size;
    const ring::Layout layout{
        info.num != 0 ? info.num : no_size, info.desc_addr, info.driver_addr, info.device_addr};
    const ring::Options options{
        state.negotiated(virtio::kFeatureEventIdx), state.negotiated(virtio::kFeatureIndirect)};
    return ring.load(table, layout, options);
}

}  // namespace vduse::device
