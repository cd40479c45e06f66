// SPDX-License-Identifier: BSD-3-Clause

// The ranges are those of validate(), which does the same for programs. Both use vduse/limits.h.
#include "options/keys.h"

#include <algorithm>
#include <array>
#include <bit>

#include "device/shape.h"
#include "vduse/limits.h"
#include "virtio/features.h"

namespace vduse::keys {

using parse::Choice;
using parse::Complaint;
using parse::Text;

Complaint queues(DeviceConfig& config, Text value) {
    return parse::store_number(value, 1, kMaxPairs, config.queue_pairs);
}

Complaint queue_size(DeviceConfig& config, Text value) {
    uint16_t size = 0;
    if (parse::store_number(value, kMinQueueSize, kMaxQueueSize, size) ||
        !std::has_single_bit(size))
        return "must be a power of two, " + std::to_string(kMinQueueSize) + " to " +
               std::to_string(kMaxQueueSize);
    config.queue_size = size;
    return {};
}

Complaint bounce(DeviceConfig& config, Text value) {
    const auto bytes = parse::size(value);
    if (!bytes || *bytes < kLeastBounce || *bytes > kMostBounce)
        return "must be 1M to 1G";
    config.bounce = *bytes;
    return {};
}

Complaint mac(DeviceConfig& config, Text value) {
    constexpr size_t kLength = 17;
    MacAddress mac{};
    bool valid = value.size() == kLength;
    for (size_t i = 0; valid && i < mac.size(); ++i) {
        const auto byte = parse::number(value.substr(3 * i, 2), 16);
        valid = byte.has_value() && (i == 5 || value[3 * i + 2] == ':');
        mac[i] = static_cast<uint8_t>(byte.value_or(0));
    }
    if (!valid || (mac[0] & 1) != 0 || mac == MacAddress{})
        return "must be six bytes like 02:00:00:00:00:01, neither a multicast address nor all zero";
    config.mac = mac;
    return {};
}

Complaint mtu(DeviceConfig& config, Text value) {
    return parse::store_number(value, kMinMtu, kMaxMtu, config.mtu);
}

Complaint speed(DeviceConfig& config, Text value) {
    return parse::store_number(value, 1, kMaxSpeed, config.speed);
}

Complaint profile(DeviceConfig& config, Text value) {
    static constexpr std::array<Choice<Profile>, 2> kChoices = {
        {{"migratable", Profile::migratable}, {"full", Profile::full}}};
    return parse::store_choice(value, kChoices, config.profile);
}

Complaint ctrl_vq(DeviceConfig& config, Text value) {
    static constexpr std::array<Choice<CtrlVq>, 3> kChoices = {
        {{"auto", CtrlVq::automatic}, {"on", CtrlVq::on}, {"off", CtrlVq::off}}};
    return parse::store_choice(value, kChoices, config.ctrl_vq);
}

Complaint groups(DeviceConfig& config, Text value) {
    // "data" is the older name of "together".
    static constexpr std::array<Choice<Groups>, 3> kChoices = {
        {{"together", Groups::together},
         {"data", Groups::together},
         {"per-pair", Groups::per_pair}}};
    return parse::store_choice(value, kChoices, config.groups);
}

Complaint spaces(DeviceConfig& config, Text value) {
    return parse::store_number(value, 1, kMaxSpaces, config.spaces);
}

Complaint persist(DeviceConfig& config, Text value) {
    return parse::store_bool(value, config.persist);
}

Complaint attach(DeviceConfig& config, Text value) {
    static constexpr std::array<Choice<Attach>, 3> kChoices = {
        {{"none", Attach::none}, {"virtio", Attach::virtio}, {"vhost", Attach::vhost}}};
    return parse::store_choice(value, kChoices, config.attach);
}

std::vector<Text> feature_keys() {
    std::vector<Text> keys;
    for (const virtio::Feature& row : virtio::kFeatures)
        if (!row.key.empty() && std::ranges::find(keys, row.key) == keys.end())
            keys.push_back(row.key);
    return keys;
}

bool DeviceConfig::*feature_member(Text key) {
    for (const virtio::Feature& row : virtio::kFeatures)
        if (!row.key.empty() && row.key == key)
            return row.member;
    return nullptr;
}

unsigned least_qemu(const DeviceConfig& config) {
    const uint64_t offered = virtio::offered_features(config, config.ctrl_vq != CtrlVq::off);
    unsigned least = 0;
    for (const virtio::Feature& row : virtio::kFeatures)
        if ((offered & virtio::bit(row.number)) != 0)
            least = std::max(least, row.qemu);
    return least;
}

}  // namespace vduse::keys
