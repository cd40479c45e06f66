// How it works: the words are read once, left to right, into an Options and a list of --patch,
// --reflect and --bridge arguments; those are resolved at the end, so that they may precede the
// endpoints that they name. --config puts words of a file (config.h) in its place; what is wrong
// with them is said with the name of the file. Each option and each key of --device and --port is a
// row of a table: what is valid is listed in error messages from the same rows that are searched.
#include "app/options/options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "app/options/ini_file.h"
#include "options/keys.h"

namespace vduse::app {

const char* const kUsage =
    R"(usage: vduse-dp [EAL options] -- [options]

  --device NAME[,key=value...]  a virtio-net device, /dev/vduse/NAME; repeatable
      queues=N                  queue pairs, 1 to 128 (default 1)
      queue_size=N              entries of a data queue, a power of two, 2 to 32768; default:
                                1024, or fewer where a netdev's bounce memory has no room
      bounce=SIZE               of the kernel's bounce memory, through which a netdev of this
                                host sends and receives, 1M to 1G; default: as the rings need
      mac=XX:XX:XX:XX:XX:XX     QEMU's mac= must be the same; default: the driver's
                                own, with attach=virtio one derived from the name
      mtu=N                     68 to 9702 (default 1500)
      speed=N                   Mbit/s that the driver is told (default 10000)
      profile=migratable|full   only what QEMU can migrate (default), or everything
      ctrl_vq=auto|on|off       control queue; auto (default): where the kernel accepts it
      groups=together|per-pair  all data queues in one group (default), or one for each pair
      as=N                      address spaces, 1 to 129 (default: one for each group,
                                but 2 at least; with attach=virtio 1)
      persist=0|1               1: the device stays when vduse-dp ends, and the next one with
                                the same options goes on with it
      attach=none|virtio|vhost  put it on the vDPA bus, for a netdev of this host or for QEMU;
                                none (default) prints the commands to type
  --port ETHDEV[,key=value...]  a DPDK port of the EAL options, by its name; repeatable
      queues_of_port=N          rx queues, and as many tx queues, 1 to 1024 (default: as many as
                                the devices have that it is joined with); never more than its
                                driver has
  --patch A:B                   join two devices or ports; a device's link follows the other side
  --reflect A                   send every frame back with its MAC addresses swapped
  --bridge A,B,...[,age=N]      a learning switch between devices and ports; stations that
                                are silent for N seconds (default 300) are forgotten
  --group-lcore NAME:G=LCORE    the worker lcore for data group G of a device; else those with
                                the least to do, on the NUMA node of the port if possible
  --config FILE                 read options from an INI file as well: sections [device NAME] and
                                [port NAME] with the keys above, [patch] (a=, b=), [reflect]
                                (endpoint=), [bridge] (members=, age=), [group-lcore] (device=,
                                group=, lcore=), [vduse-dp] (stats=, idle_us=)
  --stats SECONDS               print counters every SECONDS, not only at exit
  --idle-us N                   an lcore that found nothing to do for N microseconds sleeps until
                                something comes; 0 (default): it polls for ever
  --take-over                   take the devices over from the vduse-dp that has them, which ends;
                                for their drivers that is a short pause. The EAL needs a
                                --file-prefix of its own, or --in-memory in both
  -h, --help                    this text
  -V, --version                 versions of vduse-dp and DPDK

The main lcore runs the control queues and answers the kernel, the others move the frames.

  vduse-dp -l 0-1 --vdev net_tap0 -- --device vd0,attach=virtio --port net_tap0 \
           --patch vd0:net_tap0
)";

namespace {

namespace keys = keys;
using parse::Complaint;
using parse::cut;
using parse::joined;
using parse::names_of;
using parse::quoted;
using parse::store_number;
using parse::Text;

Error refuse(std::string line) {
    return Error{EINVAL, std::move(line)};
}

template <Complaint (*set)(DeviceConfig&, Text)>
Complaint of_config(DeviceOptions& device, Text value) {
    return set(device.config, value);
}

constexpr std::array<parse::Key<DeviceOptions>, 12> kDeviceKeys = {
    {{"queues", of_config<keys::queues>},
     {"queue_size", of_config<keys::queue_size>},
     {"bounce", of_config<keys::bounce>},
     {"mac", of_config<keys::mac>},
     {"mtu", of_config<keys::mtu>},
     {"speed", of_config<keys::speed>},
     {"profile", of_config<keys::profile>},
     {"ctrl_vq", of_config<keys::ctrl_vq>},
     {"groups", of_config<keys::groups>},
     {"as", of_config<keys::spaces>},
     {"persist", of_config<keys::persist>},
     {"attach", of_config<keys::attach>}}};

/// Not "queues": what else stands behind a port's name is for its own driver to understand.
Complaint set_queues_of_port(PortOptions& port, Text value) {
    constexpr uint32_t kMostQueues = 1024;  // RTE_MAX_QUEUES_PER_PORT
    return store_number(value, 1, kMostQueues, port.queues);
}

constexpr std::array<parse::Key<PortOptions>, 1> kPortKeys = {
    {{"queues_of_port", set_queues_of_port}}};

// Entries of QEMU's rings (doc/guide-migration.md).
constexpr uint16_t kQemuLeastRing = 256;
constexpr uint16_t kQemu10Ring = 1024;

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

/// The ",key=value..." behind a name.
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

/// Names become a file in /dev/vduse, a device in sysfs and words of --patch.
bool valid_device_name(Text name) {
    constexpr size_t kLongest = 63;
    constexpr Text kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return !name.empty() && name.size() <= kLongest && name.front() != '.' && name.front() != '-' &&
           name.find_first_not_of(kLetters) == Text::npos && name != "control";
}

/// An argument that names endpoints.
struct Pending {
    std::string text;
    std::string file;  ///< "FILE: ", or "" for the command line
};

/// The command line while it is being read.
struct Reader {
    Options options;
    std::vector<Pending> patches;
    std::vector<Pending> reflects;
    std::vector<Pending> bridges;
    std::vector<Pending> group_lcores;
    std::string file;  ///< as in Pending: what is being read now

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

Complaint read_device(Reader& reader, Text text) {
    DeviceOptions device;
    const bool has_keys = text.find(',') != Text::npos;
    const Text name = cut(text, ',');
    if (!valid_device_name(name))
        return "--device " + quoted(name) +
               ": a name has 1 to 63 letters, digits, '_', '.' or '-', starts with none of '.-', "
               "and is not 'control'";
    if (reader.known(name))
        return "--device " + std::string(name) + ": this name is given twice";
    device.config.name = name;
    // The next vduse-dp goes on, whatever becomes of this one.
    device.config.survive_crash = true;
    device.config.hands_over = true;
    if (has_keys)
        if (const auto complaint = set_keys(kDeviceKeys, device, text))
            return "--device " + std::string(name) + ": " + *complaint;
    // A netdev of this host keeps its address over restarts. A guest's comes from its QEMU.
    if (!device.config.mac && device.config.attach == Attach::virtio)
        device.config.mac = mac_from_name(device.config.name);
    if (device.config.ctrl_vq == CtrlVq::off && device.config.queue_pairs > 1)
        return "--device " + std::string(name) +
               ": queues greater than 1 needs the control queue: ctrl_vq must be auto or on";
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

constexpr std::array<Option, 14> kOptions = {
    {{"--device", true, read_device},
     {"--port", true, read_port},
     {"--patch", true, read_patch},
     {"--reflect", true, read_reflect},
     {"--bridge", true, read_bridge},
     {"--group-lcore", true, read_group_lcore},
     {"--config", true, read_file},
     {"--stats", true, read_stats},
     {"--idle-us", true, read_idle},
     {"--take-over", false, read_take_over},
     {"-h", false, read_help},
     {"--help", false, read_help},
     {"-V", false, read_version},
     {"--version", false, read_version}}};

/// Reads the option that `words` start with, and takes its words off them.
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

std::string unknown_endpoint(const Reader& reader, Text name) {
    return quoted(name) + " is no --device or --port, valid names: " + joined(reader.names());
}

/// "A:B". Names of PCI ports contain colons, so every colon may be the one in the middle.
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
        return start + quoted(name) + " is no --device";
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

Complaint resolve(Reader& reader) {
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

std::vector<std::string> qemu_limits(const Options& options) {
    std::vector<std::string> lines;
    for (const DeviceOptions& device : options.devices) {
        const DeviceConfig& config = device.config;
        if (config.attach != Attach::vhost)
            continue;
        const auto note = [&](const std::string& key, const char* consequence) {
            lines.push_back(config.name + ": " + key + ": " + consequence);
        };
        if (config.profile == Profile::full)
            note(
                "profile=full",
                "QEMU before 11 neither isolates the control queue nor migrates the guest"
            );
        if (config.spaces == 1 && config.ctrl_vq != CtrlVq::off)
            note("as=1", "QEMU needs two address spaces to start a device with a control queue");
        const std::string size = "queue_size=" + std::to_string(config.queue_size);
        if (config.queue_size == 0)
            continue;
        if (config.queue_size < kQemuLeastRing)
            note(size, "QEMU's rings have 256 entries at least");
        else if (config.queue_size < kQemu10Ring)
            note(
                size, "QEMU 10.0 wants rings of 1024 entries, others where rx_queue_size= says so"
            );
    }
    return lines;
}

}  // namespace vduse::app
