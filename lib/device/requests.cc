// SPDX-License-Identifier: BSD-3-Clause

#include "device/requests.h"

#include <algorithm>
#include <cinttypes>

#include "base/log.h"
#include "base/text.h"
#include "uapi/kernel.h"
#include "vduse/info.h"

namespace vduse::device {
namespace {

std::string describe(const uapi::abi::Request& request) {
    using uapi::abi::RequestType;
    switch (static_cast<RequestType>(request.type)) {
        case RequestType::get_vq_state:
            return text("GET_VQ_STATE queue %" PRIu32, request.vq_state.index);
        case RequestType::set_status:
            return text("SET_STATUS 0x%x", unsigned{request.status});
        case RequestType::update_iotlb:
            return text(
                "UPDATE_IOTLB asid %" PRIu32 " 0x%" PRIx64 "-0x%" PRIx64,
                request.iova.asid,
                request.iova.start,
                request.iova.last
            );
        case RequestType::set_vq_group_asid:
            return text(
                "SET_VQ_GROUP_ASID group %" PRIu32 " asid %" PRIu32,
                request.vq_group_asid.group,
                request.vq_group_asid.asid
            );
        case RequestType::set_vq_ready:
            return text(
                "SET_VQ_READY queue %" PRIu32 " ready %" PRIu32,
                request.vq_ready.num,
                request.vq_ready.ready
            );
        case RequestType::suspend:
            return "SUSPEND";
    }
    return text("unknown message %" PRIu32, request.type);
}

}  // namespace

Message understand(const Parts& parts, const uapi::abi::Request& request) {
    using uapi::abi::RequestType;
    if (std::any_of(request.reserved.begin(), request.reserved.end(), [](auto r) { return r; }))
        return Unknown{};
    switch (static_cast<RequestType>(request.type)) {
        case RequestType::get_vq_state:
            return GetQueueState{request.vq_state.index};
        case RequestType::set_status: {
            const auto features = parts.node->driver_features();
            // Not what a reset depends on, so it is no reason to refuse one.
            if (!features)
                log(Severity::error,
                    "%s: the features that the driver accepted cannot be read: %s",
                    parts.name(),
                    features.error().text().c_str());
            return SetStatus{
                request.status,
                features ? *features : 0,
                parts.kernel.bus_driver(parts.config.name) == "virtio_vdpa"};
        }
        case RequestType::update_iotlb:
            return UpdateIotlb{
                request.iova.start,
                request.iova.last,
                parts.capabilities.groups() ? request.iova.asid : 0};
        case RequestType::set_vq_group_asid:
            return SetGroupAsid{request.vq_group_asid.group, request.vq_group_asid.asid};
        case RequestType::set_vq_ready:
            return SetQueueReady{request.vq_ready.num, request.vq_ready.ready != 0};
        case RequestType::suspend:
            return Suspend{};
    }
    return Unknown{};
}

void EventLog::record(
    const uapi::abi::Request& request,
    bool ok,
    std::chrono::steady_clock::time_point asked,
    std::chrono::nanoseconds took
) {
    entries_[count_++ % kKept] = {request, ok, asked, took};
}

std::vector<ControlEvent> EventLog::list() const {
    const auto now = std::chrono::steady_clock::now();
    const auto wall = std::chrono::system_clock::now();
    std::vector<ControlEvent> events;
    for (size_t i = count_ - std::min(count_, kKept); i < count_; ++i) {
        const Entry& entry = entries_[i % kKept];
        const auto time =
            wall -
            std::chrono::duration_cast<std::chrono::system_clock::duration>(now - entry.asked);
        events.push_back({time, entry.took, describe(entry.request), entry.ok});
    }
    return events;
}

}  // namespace vduse::device
