// SPDX-License-Identifier: BSD-3-Clause

// The keys of a device as people write them, for vduse-dp's --device and for the devargs of
// net_vduse: each function reads the value of the key that it is called after. Pure functions.
#pragma once

#include <vector>

#include "options/parse.h"
#include "vduse/config.h"

namespace vduse::keys {

parse::Complaint queues(DeviceConfig& config, parse::Text value);
parse::Complaint queue_size(DeviceConfig& config, parse::Text value);
/// A number of bytes, with K, M or G behind it or not.
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

/// Keys that switch features and do nothing else, 0 or 1: rows of virtio/features.h.
std::vector<parse::Text> feature_keys();
/// What the key switches. nullptr: it is none of these.
bool DeviceConfig::*feature_member(parse::Text key);

/// The first QEMU that can isolate the control queue of such a device and migrate its guest. 0: any
/// that can use it at all.
unsigned least_qemu(const DeviceConfig& config);

}  // namespace vduse::keys
