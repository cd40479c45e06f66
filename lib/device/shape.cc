// SPDX-License-Identifier: BSD-3-Clause

#include "device/shape.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cerrno>

#include "vduse/limits.h"
#include "vduse/mac.h"
#include "virtio/config_space.h"

namespace vduse::device {

Shape shape_of(const DeviceConfig& config, bool with_control) {
    Shape shape;
    shape.pairs = with_control ? config.queue_pairs : uint16_t{1};
    shape.offered = virtio::offered_features(config, with_control);
    shape.group_per_pair = config.groups == Groups::per_pair;
    shape.spaces = config.attach == Attach::virtio ? 1U : std::max(shape.groups(), 2U);
    if (config.spaces != 0)
        shape.spaces = config.spaces;
    return shape;
}

virtio::ConfigSpace config_space(const DeviceConfig& config, const Shape& shape) {
    virtio::ConfigSpace space{};
    const MacAddress mac = config.mac.value_or(MacAddress{});
    std::copy(mac.begin(), mac.end(), std::begin(space.mac));
    space.max_virtqueue_pairs = shape.pairs;
    space.mtu = config.mtu;
    space.speed = config.speed;
    space.duplex = config.full_duplex ? 1 : 0;
    return space;
}

}  // namespace vduse::device

namespace vduse {
namespace {

constexpr size_t kMaxName = 63;

Error invalid(std::string what) {
    return Error{EINVAL, std::move(what)};
}

}  // namespace

Result<void> validate(const DeviceConfig& config) {
    const auto legal = [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
    };
    if (config.name.empty() || config.name.size() > kMaxName || config.name[0] == '.' ||
        !std::all_of(config.name.begin(), config.name.end(), legal))
        return invalid("device name '" + config.name + "': 1 to 63 letters, digits, '_', '-', '.'");
    if (config.name == "control")
        return invalid("device name 'control': /dev/vduse/control is reserved by the kernel");
    if (config.queue_pairs < 1 || config.queue_pairs > kMaxPairs)
        return invalid("queues: 1 to " + std::to_string(kMaxPairs) + " pairs");
    if (config.ctrl_vq == CtrlVq::off && config.queue_pairs != 1)
        return invalid(
            "queues: more than 1 pair needs the control queue, which ctrl_vq=off disables"
        );
    if (config.queue_size != 0 &&
        (config.queue_size < kMinQueueSize || config.queue_size > kMaxQueueSize ||
         !std::has_single_bit(config.queue_size)))
        return invalid("queue_size: a power of two from 2 to 32768");
    if (config.bounce != 0 && (config.bounce < kLeastBounce || config.bounce > kMostBounce))
        return invalid("bounce: 1M to 1G");
    if (config.mtu < kMinMtu || config.mtu > kMaxMtu)
        return invalid("mtu: 68 to 9702");
    if (config.spaces > kMaxSpaces)
        return invalid("as: 1 to " + std::to_string(kMaxSpaces) + " address spaces");
    if (config.mac && ((*config.mac)[0] & 1) != 0)
        return invalid("mac: a multicast address");
    return {};
}

MacAddress mac_from_name(const std::string& name) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : name)
        hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    MacAddress mac{0x02};
    for (size_t i = 1; i < mac.size(); ++i)
        mac[i] = static_cast<uint8_t>(hash >> 8 * i);
    return mac;
}

}  // namespace vduse
