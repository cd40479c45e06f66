// SPDX-License-Identifier: BSD-3-Clause

// How it works: the words are read once, left to right, into an Options and lists of --patch,
// --reflect, --bridge and --group-lcore arguments. These are resolved at the end, so that they may
// precede the endpoints that they name. --config is replaced by the words of a file (ini_file.h).
// Errors in them are reported with the name of the file. Each option and each key of --device and
// --port is a row of a table. Error messages list the valid ones from the same table.
#include "app/options/options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "app/options/ini_file.h"
#include "app/options/reader.h"
#include "options/keys.h"

namespace vduse::app {
namespace {

using parse::Complaint;
using parse::cut;
using parse::joined;
using parse::names_of;
using parse::quoted;
using parse::store_number;

Error refuse(std::string line) {
    return Error{EINVAL, std::move(line)};
}

template <Complaint (*set)(DeviceConfig&, Text)>
Complaint of_config(DeviceOptions& device, Text value) {
    return set(device.config, value);
}

template <bool DeviceConfig::*feature>
Complaint of_feature(DeviceOptions& device, Text value) {
    return parse::store_bool(value, device.config.*feature);
}

constexpr std::array<parse::Key<DeviceOptions>, 14> kDeviceKeys = {
    {{"queues", of_config<keys::queues>},
     {"queue_size", of_config<keys::queue_size>},
     {"bounce", of_config<keys::bounce>},
     {"mac", of_config<keys::mac>},
     {"mtu", of_config<keys::mtu>},
     {"speed", of_config<keys::speed>},
     {"csum", of_feature<&DeviceConfig::csum>},
     {"tso", of_feature<&DeviceConfig::tso>},
     {"profile", of_config<keys::profile>},
     {"ctrl_vq", of_config<keys::ctrl_vq>},
     {"groups", of_config<keys::groups>},
     {"as", of_config<keys::spaces>},
     {"persist", of_config<keys::persist>},
     {"attach", of_config<keys::attach>}}};

/// Not "queues", which could be mistaken for an argument of the port's driver.
Complaint set_queues_of_port(PortOptions& port, Text value) {
    constexpr uint32_t kMostQueues = 1024;  // RTE_MAX_QUEUES_PER_PORT
    return store_number(value, 1, kMostQueues, port.queues);
}

constexpr std::array<parse::Key<PortOptions>, 1> kPortKeys = {
    {{"queues_of_port", set_queues_of_port}}};

/// Sets the key of `item`, "key=value"; `given` are the keys seen before.
template <class Keys, class Target>
Complaint set_key(const Keys& keys, Target& target, Text item, std::vector<Text>& given) {
    Text value = item;
    const Text name = cut(value, '=');
    const auto* const key = std::ranges::find(keys, name, &parse::Key<Target>::name);
    if (key == keys.end())
        return "unknown key " + quoted(name) + ", valid keys: " + joined(names_of(keys));
    if (std::ranges::find(given, name) != given.end())
        return std::string(name) + " is given twice";
    given.push_back(name);
    if (name.size() == item.size())
        return std::string(name) + " needs a value, " + std::string(name) + "=...";
    if (const auto complaint = key->set(target, value))
        return parse::refused(name, value, *complaint);
    return {};
}

/// Sets the keys of the ",key=value..." after a name.
template <class Keys, class Target>
Complaint set_keys(const Keys& keys, Target& target, Text items) {
    std::vector<Text> given;
    for (bool more = true; more;) {
        more = items.find(',') != Text::npos;
        if (auto complaint = set_key(keys, target, cut(items, ','), given))
            return complaint;
    }
    return {};
}

/// A name becomes a file in /dev/vduse, a device in sysfs and a part of --patch.
bool valid_device_name(Text name) {
    constexpr size_t kLongest = 63;
    constexpr Text kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return !name.empty() && name.size() <= kLongest && name.front() != '.' && name.front() != '-' &&
           name.find_first_not_of(kLetters) == Text::npos && name != "control";
}

Complaint read_device(Reader& reader, Text text) {
    DeviceOptions device;
    const bool has_keys = text.find(',') != Text::npos;
    const Text name = cut(text, ',');
    if (!valid_device_name(name))
        return "--device " + quoted(name) +
               ": a name has 1 to 63 letters, digits, '_', '.' or '-', does not start with '.' or "
               "'-', "
               "and is not 'control'";
    if (reader.known(name))
        return "--device " + std::string(name) + ": this name is given twice";
    device.config.name = name;
    // The next vduse-dp can adopt the device, however this one ends.
    device.config.survive_crash = true;
    device.config.supports_handover = true;
    if (has_keys)
        if (const auto complaint = set_keys(kDeviceKeys, device, text))
            return "--device " + std::string(name) + ": " + *complaint;
    // A netdev of this host keeps its address over restarts. QEMU gives a guest its address.
    if (!device.config.mac && device.config.attach == Attach::virtio)
        device.config.mac = mac_from_name(device.config.name);
    if (device.config.ctrl_vq == CtrlVq::off && device.config.queue_pairs > 1)
        return "--device " + std::string(name) +
               ": queues greater than 1 need the control queue: ctrl_vq must be auto or on";
    reader.options.devices.push_back(std::move(device));
    return {};
}

Complaint read_port(Reader& reader, Text text) {
    PortOptions port;
    const bool has_keys = text.find(',') != Text::npos;
    port.name = cut(text, ',');
    if (port.name.empty())
        return "--port: the name is empty";
    if (reader.known(port.name))
        return "--port " + port.name + ": this name is given twice";
    if (has_keys)
        if (const auto complaint = set_keys(kPortKeys, port, text))
            return "--port " + port.name + ": " + *complaint;
    reader.options.ports.push_back(std::move(port));
    return {};
}

Complaint read_patch(Reader& reader, Text text) {
    reader.patches.push_back({std::string(text), reader.file});
    return {};
}

Complaint read_reflect(Reader& reader, Text text) {
    reader.reflects.push_back({std::string(text), reader.file});
    return {};
}

Complaint read_bridge(Reader& reader, Text text) {
    reader.bridges.push_back({std::string(text), reader.file});
    return {};
}

Complaint read_group_lcore(Reader& reader, Text text) {
    reader.group_lcores.push_back({std::string(text), reader.file});
    return {};
}

Complaint read_stats(Reader& reader, Text text) {
    const auto complaint = store_number(text, 1, 86400, reader.options.stats_seconds);
    if (complaint)
        return "--stats " + std::string(text) + ": " + *complaint + " seconds";
    return {};
}

Complaint read_idle(Reader& reader, Text text) {
    const auto complaint = store_number(text, 0, 1'000'000, reader.options.idle_us);
    if (complaint)
        return "--idle-us " + std::string(text) + ": " + *complaint + " microseconds";
    return {};
}

Complaint read_gro(Reader& reader, Text text) {
    const auto complaint = parse::store_bool(text, reader.options.gro);
    if (complaint)
        return "--gro " + std::string(text) + ": " + *complaint;
    return {};
}

Complaint read_file(Reader& reader, Text text);

Complaint read_take_over(Reader& reader, Text /*text*/) {
    reader.options.take_over = true;
    return {};
}

Complaint read_help(Reader& reader, Text /*text*/) {
    reader.options.help = true;
    return {};
}

Complaint read_version(Reader& reader, Text /*text*/) {
    reader.options.version = true;
    return {};
}

struct Option {
    Text name;
    bool takes_value;
    Complaint (*read)(Reader&, Text);
};

constexpr std::array<Option, 15> kOptions = {
    {{"--device", true, read_device},
     {"--port", true, read_port},
     {"--patch", true, read_patch},
     {"--reflect", true, read_reflect},
     {"--bridge", true, read_bridge},
     {"--group-lcore", true, read_group_lcore},
     {"--config", true, read_file},
     {"--stats", true, read_stats},
     {"--idle-us", true, read_idle},
     {"--gro", true, read_gro},
     {"--take-over", false, read_take_over},
     {"-h", false, read_help},
     {"--help", false, read_help},
     {"-V", false, read_version},
     {"--version", false, read_version}}};

/// Reads the option that `words` start with, and removes it from `words`.
Complaint read_option(Reader& reader, std::span<const char* const>& words) {
    Text value = words.front();
    words = words.subspan(1);
    const bool inline_value = value.starts_with("--") && value.find('=') != Text::npos;
    const Text name = inline_value ? cut(value, '=') : value;
    const auto* const option = std::ranges::find(kOptions, name, &Option::name);
    if (option == kOptions.end())
        return "unknown option " + quoted(name) + ", valid options: " + joined(names_of(kOptions));
    if (!option->takes_value && inline_value)
        return std::string(name) + " takes no value";
    if (option->takes_value && !inline_value) {
        if (words.empty())
            return std::string(name) + " needs a value, see -h";
        value = words.front();
        words = words.subspan(1);
    }
    return option->read(reader, value);
}

/// --config FILE
Complaint read_file(Reader& reader, Text text) {
    const std::string file(text);
    const auto words = read_config(file);
    if (!words)
        return file + ": " + words.error().what;
    std::vector<const char*> pointers;
    for (const std::string& word : *words)
        pointers.push_back(word.c_str());
    reader.file = file + ": ";
    for (std::span<const char* const> rest(pointers); !rest.empty();)
        if (const auto complaint = read_option(reader, rest))
            return reader.file + *complaint;
    reader.file.clear();
    return {};
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> words) {
    Reader reader;
    while (!words.empty()) {
        if (auto complaint = read_option(reader, words))
            return refuse(std::move(*complaint));
        if (reader.options.help || reader.options.version)
            return std::move(reader.options);
    }
    if (auto complaint = resolve(reader))
        return refuse(std::move(*complaint));
    return std::move(reader.options);
}

}  // namespace vduse::app
