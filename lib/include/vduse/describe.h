// SPDX-License-Identifier: BSD-3-Clause

// What there is to say of a device, as names and values: for whoever shows it to people or
// programs.
//
// How it works: `describe` writes each fact down once, as a list of paths and values. vduse-dp's
// telemetry, its statistics and net_vduse's dump show the same list, each in its own form. A new
// fact is a line here; paths only ever grow in number, because programs read them.
//
// Threads: any; pure functions of snapshots (vduse/info.h), which control takes. What a driver says
// is in numbers only, so it cannot bring words of its own into a log.
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
    std::string path;  ///< "mac", "groups.0.asid"
    std::variant<uint64_t, bool, std::string, std::vector<std::string>> value;
};
using Facts = std::vector<Fact>;

Facts describe(const DeviceInfo& device);
Facts describe(const QueueInfo& queue);
Facts describe(const QueueStats& stats);

/// nullptr: there is none.
const Fact* find(const Facts& facts, std::string_view path);
/// Those below `path`, without it in front; and the other way round.
Facts below(const Facts& facts, const std::string& path);
Facts under(const std::string& path, Facts facts);
Facts join(Facts first, const Facts& more);

/// A number, "yes" or "no", words, or words with ", " between them.
std::string text_of(const Fact& fact);

/// "02:00:00:00:00:01"
std::string text_of(const MacAddress& mac);

}  // namespace vduse
