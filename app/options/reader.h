// SPDX-License-Identifier: BSD-3-Clause

// State of the command line parser, shared by options.cc, which reads words, and endpoints.cc,
// which resolves the names in them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "app/options/options.h"
#include "options/parse.h"

namespace vduse::app {

using parse::Text;

/// An argument that names endpoints.
struct Pending {
    std::string text;
    std::string file;  ///< "FILE: "; "" for the command line
};

/// The command line while it is being read.
struct Reader {
    Options options;
    std::vector<Pending> patches;
    std::vector<Pending> reflects;
    std::vector<Pending> bridges;
    std::vector<Pending> group_lcores;
    std::string file;  ///< as in Pending, for the words being read now

    [[nodiscard]] std::vector<Text> names() const {
        std::vector<Text> result;
        for (const auto& device : options.devices)
            result.emplace_back(device.config.name);
        for (const auto& port : options.ports)
            result.emplace_back(port.name);
        return result;
    }
    [[nodiscard]] bool known(Text name) const {
        const auto all = names();
        return std::ranges::find(all, name) != all.end();
    }
    /// `name` must be known.
    [[nodiscard]] EndpointOption endpoint(Text name) const {
        const auto all = names();
        const auto index = static_cast<size_t>(std::ranges::find(all, name) - all.begin());
        const size_t devices = options.devices.size();
        return index < devices ? EndpointOption{false, index}
                               : EndpointOption{true, index - devices};
    }
};

/// Resolves the names in --patch, --reflect, --bridge and --group-lcore, after the last word.
parse::Complaint resolve(Reader& reader);

}  // namespace vduse::app
