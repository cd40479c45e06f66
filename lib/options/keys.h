// SPDX-License-Identifier: BSD-3-Clause

// The keys of a device as users write them, for vduse-dp's --device and for the devargs of
// net_vduse. Each function parses the value of the key that it is named after. Pure functions.
#pragma once

#include <vector>

#include "options/parse.h"
#include "vduse/config.h"

namespace vduse::keys {

parse::Complaint queues(DeviceConfig& config, parse::Text value);
parse::Complaint queue_size(DeviceConfig& config, parse::Text value);
/// A number of bytes, optionally followed by K, M or G.
parse::Complaint bounce(DeviceConfig& config, parse::Text value);
parse::Complaint mac(DeviceConfig& config, parse::Text value);
parse::Complaint mtu(DeviceConfig& config, parse::Text value);
parse::Complaint speed(DeviceConfig& config, parse::Text value);
parse::Complaint profile(DeviceConfig& config, parse::Text value);
parse::Complaint ctrl_vq(DeviceConfig& config, parse::Text value);
parse::Complaint groups(DeviceConfig& config, parse::Text value);
parse::Complaint spaces(DeviceConfig& config, parse::Text value);
parse::Complaint persist(DeviceConfig& config, parse::Text value);
parse::Complaint attach(DeviceConfig& config, parse::Text value);

/// Keys that only switch features, with the value 0 or 1: see the rows of virtio/features.h.
std::vector<parse::Text> feature_keys();
/// The member that such a key switches; nullptr for any other key.
bool DeviceConfig::*feature_member(parse::Text key);

/// The first QEMU version that can isolate the control queue of such a device and migrate its
/// guest. 0: any version that can use the device at all.
unsigned least_qemu(const DeviceConfig& config);

}  // namespace vduse::keys
