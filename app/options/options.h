// SPDX-License-Identifier: BSD-3-Clause

// The options after `--`: parsed and checked into a plain struct.
//
// `parse_options` is a pure function of the words and the files that --config names. It uses
// neither the EAL nor the kernel, so it cannot check whether a --port exists. An error is one line
// to print. It names the option or key, and what would be valid. Called once by main, and by
// test/unit/app/options_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "vduse/bus.h"
#include "vduse/device.h"
#include "vduse/result.h"

namespace vduse::app {

struct DeviceOptions {
    DeviceConfig config;
    std::map<uint16_t, unsigned> group_lcores;  ///< --group-lcore, by group
};

struct PortOptions {
    std::string name;
    uint16_t queues = 0;  ///< rx queues, and as many tx queues; 0: as many as its devices have
};

/// A device or a port, by its position in `Options::devices` or `Options::ports`.
struct EndpointOption {
    bool port = false;
    size_t index = 0;

    bool operator==(const EndpointOption&) const = default;
};

struct PatchOption {
    EndpointOption a;
    EndpointOption b;
};

inline constexpr size_t kMaxBridgeMembers = 64;

struct BridgeOption {
    std::vector<EndpointOption> members;
    uint32_t age_seconds = 300;  ///< a silent address is forgotten after this time
};

struct Options {
    std::vector<DeviceOptions> devices;
    std::vector<PortOptions> ports;
    std::vector<PatchOption> patches;
    std::vector<EndpointOption> reflects;
    std::vector<BridgeOption> bridges;
    uint32_t stats_seconds = 0;  ///< 0: only at exit
    uint32_t idle_us = 0;        ///< workers sleep after this time without work; 0: never
    bool gro = true;             ///< segments from ports are merged for guests with large frames
    bool take_over = false;      ///< take the devices over from the process that has them
    bool help = false;           ///< if help or version is set, nothing else is checked
    bool version = false;
};

/// `words` exclude the program name. The error's `what` is the line to print.
Result<Options> parse_options(std::span<const char* const> words);

/// The name that `endpoint` was given on the command line.
const std::string& endpoint_name(const Options& options, EndpointOption endpoint);

/// Names of devices and ports that no patch, reflect or bridge mentions.
std::vector<std::string> unused_endpoints(const Options& options);

/// Limits of QEMU with devices for it (attach=vhost), a line each. The library reports the limits
/// of the kernel.
std::vector<std::string> qemu_limits(const Options& options);

/// What -h prints.
extern const char* const kUsage;

}  // namespace vduse::app
