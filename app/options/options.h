// SPDX-License-Identifier: BSD-3-Clause

// The options after `--`: from words to a checked plain struct.
//
// `parse_options` is a pure function of the words and the files that --config names: it knows
// neither the EAL nor the kernel, so what it cannot check is whether a --port exists. Its errors
// are one line for a person, and name the option or key and what would be valid. Called once by
// main, and by test/unit/app/options_test.cc.
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
    std::map<uint16_t, unsigned> group_lcores;  ///< --group-lcore, by the group
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
    uint32_t age_seconds = 300;  ///< after which a silent address is forgotten
};

struct Options {
    std::vector<DeviceOptions> devices;
    std::vector<PortOptions> ports;
    std::vector<PatchOption> patches;
    std::vector<EndpointOption> reflects;
    std::vector<BridgeOption> bridges;
    uint32_t stats_seconds = 0;  ///< 0: only at exit
    uint32_t idle_us = 0;        ///< workers without work for so long sleep; 0: never
    bool gro = true;             ///< segments from ports are merged for guests that take that
    bool take_over = false;      ///< from the process that has the devices
    bool help = false;           ///< Nothing else is checked when help or version is asked for.
    bool version = false;
};

/// `words` without the name of the program. The error's `what` is the line to print.
Result<Options> parse_options(std::span<const char* const> words);

/// The name that `endpoint` was given on the command line.
const std::string& endpoint_name(const Options& options, EndpointOption endpoint);

/// Names of devices and ports that no patch, reflect or bridge mentions.
std::vector<std::string> unused_endpoints(const Options& options);

/// What QEMU will not do with devices that are for it (attach=vhost), a line each. The kernel's
/// part in it is said by the library.
std::vector<std::string> qemu_limits(const Options& options);

/// What -h prints.
extern const char* const kUsage;

}  // namespace vduse::app
