// SPDX-License-Identifier: BSD-3-Clause

// Resolves the names in --patch, --reflect, --bridge and --group-lcore. This is done last, so that
// these options may precede the endpoints.
#include <algorithm>
#include <utility>

#include "app/options/reader.h"

namespace vduse::app {
namespace {

using parse::Complaint;
using parse::cut;
using parse::joined;
using parse::quoted;
using parse::store_number;

std::string unknown_endpoint(const Reader& reader, Text name) {
    return quoted(name) + " is not a --device or --port, valid names: " + joined(reader.names());
}

/// "A:B". Names of PCI ports contain colons, so each colon may be the separator.
Complaint resolve_patch(Reader& reader, Text text) {
    const std::string start = "--patch " + std::string(text) + ": ";
    for (size_t at = text.find(':'); at != Text::npos; at = text.find(':', at + 1)) {
        const Text a = text.substr(0, at);
        const Text b = text.substr(at + 1);
        if (!reader.known(a) || !reader.known(b))
            continue;
        if (a == b)
            return start + "the two sides must differ, see --reflect";
        reader.options.patches.push_back({reader.endpoint(a), reader.endpoint(b)});
        return {};
    }
    const auto colons = std::ranges::count(text, ':');
    if (colons == 0)
        return start + "must be A:B";
    if (colons > 1)
        return start + "must be A:B, valid names: " + joined(reader.names());
    const Text a = text.substr(0, text.find(':'));
    return start + unknown_endpoint(reader, reader.known(a) ? text.substr(a.size() + 1) : a);
}

Complaint resolve_reflect(Reader& reader, Text text) {
    if (!reader.known(text))
        return "--reflect " + unknown_endpoint(reader, text);
    reader.options.reflects.push_back(reader.endpoint(text));
    return {};
}

/// "A,B,...[,age=N]": a name with '=' cannot be one of the members.
Complaint resolve_bridge(Reader& reader, Text text) {
    const std::string start = "--bridge " + std::string(text) + ": ";
    constexpr Text kAge = "age=";
    BridgeOption bridge;
    bool has_age = false;
    for (bool more = true; more;) {
        more = text.find(',') != Text::npos;
        const Text item = cut(text, ',');
        if (item.starts_with(kAge)) {
            if (std::exchange(has_age, true))
                return start + "age is given twice";
            if (const auto complaint =
                    store_number(item.substr(kAge.size()), 1, 86400, bridge.age_seconds))
                return start + "age " + *complaint + " seconds";
            continue;
        }
        if (!reader.known(item))
            return start + unknown_endpoint(reader, item);
        bridge.members.push_back(reader.endpoint(item));
    }
    if (bridge.members.size() < 2 || bridge.members.size() > kMaxBridgeMembers)
        return start + "must be A,B,...: 2 to " + std::to_string(kMaxBridgeMembers) +
               " devices and ports";
    reader.options.bridges.push_back(std::move(bridge));
    return {};
}

/// "NAME:GROUP=LCORE"
Complaint resolve_group_lcore(Reader& reader, Text text) {
    const std::string start = "--group-lcore " + std::string(text) + ": ";
    Text lcore = text;
    Text group = cut(lcore, '=');
    const Text name = cut(group, ':');
    if (group.empty() || lcore.empty())
        return start + "must be NAME:GROUP=LCORE";
    if (!reader.known(name) || reader.endpoint(name).port)
        return start + quoted(name) + " is not a --device";
    DeviceOptions& device = reader.options.devices[reader.endpoint(name).index];
    const uint32_t groups =
        device.config.groups == Groups::per_pair ? device.config.queue_pairs : 1U;
    uint16_t number = 0;
    if (const auto complaint = store_number(group, 0, groups - 1, number))
        return start + "the group " + *complaint + ", which are " + std::string(name) +
               "'s data groups";
    unsigned target = 0;
    if (const auto complaint = store_number(lcore, 0, 1023, target))
        return start + "the lcore " + *complaint;
    if (!device.group_lcores.emplace(number, target).second)
        return start + "this group is given twice";
    return {};
}

/// All endpoints that --patch, --reflect and --bridge mention.
std::vector<EndpointOption> used_endpoints(const Options& options) {
    std::vector<EndpointOption> used = options.reflects;
    for (const auto& patch : options.patches) {
        used.push_back(patch.a);
        used.push_back(patch.b);
    }
    for (const auto& bridge : options.bridges)
        used.insert(used.end(), bridge.members.begin(), bridge.members.end());
    return used;
}

Complaint check_used_once(const Options& options) {
    const auto used = used_endpoints(options);
    for (const auto& endpoint : used)
        if (std::ranges::count(used, endpoint) > 1)
            return endpoint_name(options, endpoint) +
                   " is used twice: one --patch, --reflect or --bridge for each device and port";
    return {};
}

template <class Resolve>
Complaint resolve_all(Reader& reader, const std::vector<Pending>& arguments, Resolve resolve) {
    for (const Pending& argument : arguments)
        if (const auto complaint = resolve(reader, argument.text))
            return argument.file + *complaint;
    return {};
}

}  // namespace

parse::Complaint resolve(Reader& reader) {
    if (reader.options.devices.empty())
        return "no device: at least one --device NAME is needed, see -h";
    if (auto complaint = resolve_all(reader, reader.patches, resolve_patch))
        return complaint;
    if (auto complaint = resolve_all(reader, reader.reflects, resolve_reflect))
        return complaint;
    if (auto complaint = resolve_all(reader, reader.bridges, resolve_bridge))
        return complaint;
    if (auto complaint = resolve_all(reader, reader.group_lcores, resolve_group_lcore))
        return complaint;
    return check_used_once(reader.options);
}

const std::string& endpoint_name(const Options& options, EndpointOption endpoint) {
    return endpoint.port ? options.ports[endpoint.index].name
                         : options.devices[endpoint.index].config.name;
}

std::vector<std::string> unused_endpoints(const Options& options) {
    std::vector<std::string> names;
    const auto used = used_endpoints(options);
    const auto add = [&](EndpointOption endpoint) {
        if (std::ranges::find(used, endpoint) == used.end())
            names.push_back(endpoint_name(options, endpoint));
    };
    for (size_t i = 0; i < options.devices.size(); ++i)
        add({false, i});
    for (size_t i = 0; i < options.ports.size(); ++i)
        add({true, i});
    return names;
}

}  // namespace vduse::app
