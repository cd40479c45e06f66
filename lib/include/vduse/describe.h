// What there is to say of a device, as names and values: for whoever shows it to people or
// programs.
//
// How it works: `describe` writes each fact down once, as a tree. vduse-dp's telemetry, its
// statistics and net_vduse's dump show the same tree, each in its own form. A new fact is a line
// here; names only ever grow in number, because programs read them.
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

struct Fact;
using Facts = std::vector<Fact>;

struct Fact {
    std::string name;
    std::variant<uint64_t, bool, std::string, std::vector<std::string>, Facts> value;
};

Facts describe(const DeviceInfo& device);
Facts describe(const QueueInfo& queue);
Facts describe(const QueueStats& stats);

/// The fact of that name. A '.' leads into a fact that has facts: "from_guest.frames". nullptr:
/// there is none.
const Fact* find(const Facts& facts, std::string_view path);

Facts join(Facts first, const Facts& more);

/// A number, "yes" or "no", words, words with ", " between them; "" for a fact that has facts.
std::string text_of(const Fact& fact);

/// "02:00:00:00:00:01"
std::string text_of(const MacAddress& mac);

}  // namespace vduse
