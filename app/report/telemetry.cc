// How it works: see telemetry.h. DPDK's commands have no argument of ours in 22.11, and cannot be
// taken back, so the object that answers is found through one pointer of the process.
//
// A body first makes sure of its parameters and only then begins its answer: DPDK does not free the
// containers of an answer that fails.
//
// DPDK's limits: 16 KiB for a whole answer, 128 bytes for a string in it. So regions and events are
// strings, not more containers.
#include "app/report/telemetry.h"

#include <rte_lcore.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <ctime>
#include <mutex>
#include <optional>
#include <string_view>

#include "app/report/control_call.h"
#include "base/text.h"
#include "vduse/drop.h"
#include "vduse/info.h"

namespace vduse::app {

struct Telemetry::Shared {
    Inquiries inquiries;
    std::vector<const Endpoint*> devices;
    unsigned control_lcore;
};

namespace {

using Shared = Telemetry::Shared;
using Text = std::string_view;

constexpr size_t kRegionsListed = 64;
static_assert(kTextRoom <= RTE_TEL_MAX_STRING_LEN);

std::mutex current_mutex;
std::shared_ptr<Shared> current;

std::shared_ptr<Shared> current_shared() {
    const std::lock_guard lock(current_mutex);
    return current;
}

void set_current(std::shared_ptr<Shared> shared) {
    const std::lock_guard lock(current_mutex);
    current = std::move(shared);
}

void put_number(rte_tel_data* data, const char* name, uint64_t value) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    rte_tel_data_add_dict_uint(data, name, value);
#else
    rte_tel_data_add_dict_u64(data, name, value);
#endif
}

void start_strings(rte_tel_data* data, const std::vector<std::string>& strings) {
    rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
    for (const std::string& string : strings)
        rte_tel_data_add_array_string(data, string.c_str());
}

/// A JSON object that is being written. Without memory for a part, that part is left out.
class Dict {
  public:
    explicit Dict(rte_tel_data* data) : data_(data) {
        if (data_ != nullptr)
            rte_tel_data_start_dict(data_);
    }
    void number(const char* name, uint64_t value) {
        if (data_ != nullptr)
            put_number(data_, name, value);
    }
    void string(const char* name, const std::string& value) {
        if (data_ != nullptr)
            rte_tel_data_add_dict_string(data_, name, value.c_str());
    }
    void yes_no(const char* name, bool value) { string(name, value ? "yes" : "no"); }
    void strings(const char* name, const std::vector<std::string>& values) {
        rte_tel_data* const part = allocate();
        if (part != nullptr)
            start_strings(part, values);
        add(name, part);
    }
    Dict dict(const char* name) {
        rte_tel_data* const part = allocate();
        Dict made(part);
        return add(name, part) ? made : Dict(nullptr);
    }

  private:
    [[nodiscard]] rte_tel_data* allocate() const {
        return data_ != nullptr ? rte_tel_data_alloc() : nullptr;
    }
    /// DPDK takes a part only when it has been started.
    bool add(const char* name, rte_tel_data* part) {
        if (part != nullptr && rte_tel_data_add_dict_container(data_, name, part, 0) == 0)
            return true;
        rte_tel_data_free(part);
        return false;
    }
    rte_tel_data* data_;
};

const Endpoint* find(const Shared& shared, Text name) {
    const auto found = std::ranges::find(shared.devices, name, &Endpoint::name);
    return found != shared.devices.end() ? *found : nullptr;
}

void put_groups(
    Dict groups, const DeviceInfo& info, const Endpoint& endpoint, unsigned control_lcore
) {
    for (size_t i = 0; i < info.groups.size(); ++i) {
        const GroupInfo& group = info.groups[i];
        Dict dict = groups.dict(std::to_string(i).c_str());
        dict.string("use", group.control ? "control" : "data");
        dict.number("asid", group.asid);
        dict.number("first_queue", group.first_queue);
        dict.number("last_queue", group.last_queue);
        const unsigned lcore = endpoint.lcore_of(group, control_lcore);
        if (lcore != LCORE_ID_ANY)
            dict.number("lcore", lcore);
    }
}

std::string describe(const RegionInfo& region) {
    const std::string node = region.node < 0 ? "unknown" : std::to_string(region.node);
    return text(
        "0x%" PRIx64 "-0x%" PRIx64 " %c%c node %s",
        region.first,
        region.last,
        region.readable ? 'r' : '-',
        region.writable ? 'w' : '-',
        node.c_str()
    );
}

void put_spaces(Dict spaces, const DeviceInfo& info) {
    for (size_t i = 0; i < info.spaces.size(); ++i) {
        Dict dict = spaces.dict(std::to_string(i).c_str());
        const std::vector<RegionInfo>& regions = info.spaces[i];
        std::vector<std::string> listed;
        for (size_t r = 0; r < std::min(regions.size(), kRegionsListed); ++r)
            listed.push_back(describe(regions[r]));
        dict.number("region_count", regions.size());
        dict.strings("regions", listed);
    }
}

int tell_info(const Shared& shared, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    if (!rest.empty())
        return -EINVAL;
    const DeviceInfo info = endpoint.device->info();
    Dict dict(data);
    dict.string("name", endpoint.name);
    dict.number("api_version", info.api_version);
    dict.strings("kernel_features", kernel_feature_names(info.kernel_features));
    dict.string("status", text("0x%x", unsigned{info.status}));
    dict.strings("status_names", status_names(info.status));
    dict.string("features", text("0x%" PRIx64, info.features));
    dict.strings("feature_names", feature_names(info.features));
    dict.string("link", info.link_up ? "up" : "down");
    dict.yes_no("broken", endpoint.device->broken());
    dict.number("queue_pairs", info.queue_pairs);
    dict.number("active_pairs", info.active_pairs);
    const auto& mac = info.mac;
    dict.string(
        "mac", text("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
    );
    dict.yes_no("promiscuous", info.promiscuous);
    dict.yes_no("all_multicast", info.all_multicast);
    dict.number("unicast", info.unicast);
    dict.number("multicast", info.multicast);
    dict.number("vlans", info.vlans);
    dict.strings("problems", info.problems);
    put_groups(dict.dict("groups"), info, endpoint, shared.control_lcore);
    put_spaces(dict.dict("spaces"), info);
    return 0;
}

void put_stats(Dict dict, const QueueStats& stats) {
    dict.number("frames", stats.frames);
    dict.number("bytes", stats.bytes);
    dict.number("dropped", stats.dropped);
    for (size_t i = 0; i < kDropReasons; ++i)
        dict.number(text("dropped_%s", kDropNames[i]).c_str(), stats.drops[i]);
    dict.number("no_mbuf", stats.no_mbuf);
    dict.number("no_buffer", stats.no_buffer);
    dict.number("interrupts", stats.interrupts);
    dict.number("misses", stats.misses);
}

void add_to(QueueStats& sum, const QueueStats& more) {
    sum.frames += more.frames;
    sum.bytes += more.bytes;
    sum.dropped += more.dropped;
    for (size_t i = 0; i < sum.drops.size(); ++i)
        sum.drops[i] += more.drops[i];
    sum.no_mbuf += more.no_mbuf;
    sum.no_buffer += more.no_buffer;
    sum.interrupts += more.interrupts;
    sum.misses += more.misses;
}

int tell_stats(const Shared& /*shared*/, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    if (!rest.empty())
        return -EINVAL;
    QueueStats from;
    QueueStats to;
    uint64_t not_taken = 0;
    for (uint16_t pair = 0; pair < endpoint.queues; ++pair) {
        add_to(from, endpoint.pairs[pair].from_guest_stats());
        add_to(to, endpoint.pairs[pair].to_guest_stats());
        not_taken += endpoint.dropped[pair].read();
    }
    const DeviceInfo info = endpoint.device->info();
    Dict dict(data);
    dict.string("name", endpoint.name);
    dict.number("commands", info.commands);
    dict.number("refused", info.refused);
    put_stats(dict.dict("from_guest"), from);
    Dict to_guest = dict.dict("to_guest");
    put_stats(to_guest, to);
    to_guest.number("not_taken", not_taken);  // there was no room, or no driver
    return 0;
}

const char* name_of(QueueUse use) {
    switch (use) {
        case QueueUse::to_guest:
            return "to_guest";
        case QueueUse::from_guest:
            return "from_guest";
        case QueueUse::control:
            return "control";
    }
    return "unknown";
}

int tell_queue(const Shared& /*shared*/, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    uint32_t index = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
    if (error != std::errc() || end != rest.data() + rest.size())
        return -EINVAL;
    const auto info = endpoint.device->queue_info(index);
    if (!info)
        return -ERANGE;
    Dict dict(data);
    dict.string("name", endpoint.name);
    dict.number("queue", index);
    dict.string("use", name_of(info->use));
    if (info->use != QueueUse::control)
        dict.number("pair", info->pair);
    dict.number("group", info->group);
    dict.number("asid", info->asid);
    dict.yes_no("ready", info->ready);
    dict.yes_no("running", info->running);
    dict.yes_no("stalled", info->stalled);
    dict.yes_no("quarantined", info->quarantined);
    dict.number("size", info->size);
    dict.string("desc", text("0x%" PRIx64, info->desc));
    dict.string("driver", text("0x%" PRIx64, info->driver));
    dict.string("device", text("0x%" PRIx64, info->device));
    put_stats(dict.dict("stats"), info->stats);
    return 0;
}

std::string describe(const ControlEvent& event) {
    using std::chrono::duration_cast;
    using std::chrono::microseconds;
    const auto since = event.time.time_since_epoch();
    const auto seconds = duration_cast<std::chrono::seconds>(since);
    const std::time_t whole = seconds.count();
    std::tm utc{};
    ::gmtime_r(&whole, &utc);
    std::array<char, 32> date{};
    std::strftime(date.data(), date.size(), "%FT%T", &utc);
    return text(
        "%s.%06dZ %s: %s, %lld us",
        date.data(),
        static_cast<int>(duration_cast<microseconds>(since - seconds).count()),
        event.what.c_str(),
        event.ok ? "ok" : "failed",
        static_cast<long long>(duration_cast<microseconds>(event.took).count())
    );
}

int tell_events(const Shared& /*shared*/, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    if (!rest.empty())
        return -EINVAL;
    std::vector<std::string> lines;
    for (const ControlEvent& event : endpoint.device->events())
        lines.push_back(describe(event));
    start_strings(data, lines);
    return 0;
}

/// The rest of the parameters, behind the name, is `rest`.
using Tell = int (*)(const Shared&, const Endpoint&, Text rest, rte_tel_data*);

/// "NAME" or "NAME,REST". An empty rest behind a comma is wrong everywhere.
int tell(const Shared& shared, Text parameters, rte_tel_data* data, Tell body) {
    const size_t end = std::min(parameters.find(','), parameters.size());
    const Endpoint* const endpoint = find(shared, parameters.substr(0, end));
    if (endpoint == nullptr)
        return -ENODEV;
    if (end + 1 == parameters.size())
        return -EINVAL;
    return body(shared, *endpoint, parameters.substr(std::min(end + 1, parameters.size())), data);
}

/// What DPDK calls for the command that `body` answers.
template <Tell body>
int on_command(const char* /*command*/, const char* parameters, rte_tel_data* data) {
    if (parameters == nullptr)
        return -EINVAL;
    const auto shared = current_shared();
    if (shared == nullptr)
        return -ENODEV;
    int status = -ETIMEDOUT;
    shared->inquiries.ask([&] { status = tell(*shared, parameters, data, body); });
    return status;
}

/// Names never change, so nobody has to be asked.
int on_list(const char* /*command*/, const char* parameters, rte_tel_data* data) {
    const auto shared = current_shared();
    if (shared == nullptr)
        return -ENODEV;
    if (parameters != nullptr && *parameters != '\0')
        return -EINVAL;
    std::vector<std::string> names;
    for (const Endpoint* const device : shared->devices)
        names.push_back(device->name);
    start_strings(data, names);
    return 0;
}

void register_commands() {
    rte_telemetry_register_cmd("/vduse/list", on_list, "Names of the devices. Parameters: none");
    rte_telemetry_register_cmd(
        "/vduse/info", on_command<tell_info>, "State of a device. Parameters: NAME"
    );
    rte_telemetry_register_cmd(
        "/vduse/stats", on_command<tell_stats>, "Counters of a device. Parameters: NAME"
    );
    rte_telemetry_register_cmd(
        "/vduse/queue", on_command<tell_queue>, "One virtqueue. Parameters: NAME,NUMBER"
    );
    rte_telemetry_register_cmd(
        "/vduse/events",
        on_command<tell_events>,
        "The last 64 messages of the kernel. Parameters: NAME"
    );
}

}  // namespace

Telemetry::Telemetry(
    std::function<void()> wake, std::vector<const Endpoint*> devices, unsigned control_lcore
)
    : shared_(new Shared{Inquiries(std::move(wake)), std::move(devices), control_lcore}) {
    static std::once_flag registered;
    std::call_once(registered, register_commands);
    set_current(shared_);
}

Telemetry::~Telemetry() {
    set_current(nullptr);
    shared_->inquiries.close();
}

void Telemetry::serve() {
    shared_->inquiries.serve();
}

}  // namespace vduse::app
