// SPDX-License-Identifier: BSD-3-Clause

// The state of a device as names and values, to be shown to people or programs.
//
// How it works: `describe` lists each fact once, as a path and a value. vduse-dp's telemetry, its
// statistics and net_vduse's dump show the same list, each in its own form. A new fact is one line
// in lib/device/describe.cc. Paths are added but never removed, because programs read them.
//
// Threads: any. Pure functions of snapshots (vduse/info.h), which the control thread takes. Values
// that a driver sets are shown as numbers only, so it cannot write words of its own to a log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vduse/info.h"

namespace vduse {

/// A name and a value.
struct Fact {
    std::string path;  ///< for example "mac", "groups.0.asid"
    std::variant<uint64_t, bool, std::string, std::vector<std::string>> value;
};
using Facts = std::vector<Fact>;

Facts describe(const DeviceInfo& device);
Facts describe(const QueueInfo& queue);
Facts describe(const QueueStats& stats);

/// The fact with that path, which belongs to `facts`; nullptr if there is none.
const Fact* find(const Facts& facts, std::string_view path);
/// The facts whose path begins with `path` and a dot; these are cut off.
Facts below(const Facts& facts, const std::string& path);
/// All facts, with `path` and a dot in front of their paths.
Facts under(const std::string& path, Facts facts);
/// The facts of `first`, then those of `more`.
Facts join(Facts first, const Facts& more);

/// The value as text: a decimal number, "yes" or "no", the string, or the strings with ", " between
/// them.
std::string text_of(const Fact& fact);

/// "02:00:00:00:00:01"
std::string text_of(const MacAddress& mac);

}  // namespace vduse
