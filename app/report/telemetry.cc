// SPDX-License-Identifier: BSD-3-Clause

// How it works: see telemetry.h. In DPDK 22.11 callbacks have no user argument, and commands cannot
// be unregistered. So callbacks find the object through a global pointer.
//
// A body checks its parameters before it begins its answer: DPDK does not free the containers of an
// answer that fails.
//
// DPDK's limits: 16 KiB for a whole answer, 128 bytes for a string in it. So regions and events are
// strings instead of further containers, and only the first 64 regions are listed. If an answer is
// too long, DPDK leaves parts out without a word. So groups and spaces that do not fit are left out
// here, and counted; /vduse/group and /vduse/space show each of them.
#include "app/report/telemetry.h"

#include <rte_lcore.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "app/report/control_call.h"
#include "app/report/facts.h"
#include "base/text.h"
#include "vduse/describe.h"
#include "vduse/info.h"

namespace vduse::app {

struct Telemetry::TelemetryState {
    ControlCalls calls;
    std::vector<const Endpoint*> devices;
    std::vector<const Bridge*> bridges;
    unsigned control_lcore;
};

namespace {

using TelemetryState = Telemetry::TelemetryState;
using Text = std::string_view;

constexpr size_t kStringsListed = 64;
/// The same in the answer about a single space.
constexpr size_t kStringsListedAlone = 256;
/// The bytes of an answer that facts may take; the rest is for its frame.
constexpr size_t kAnswerRoom = 16 * 1024 - 1024;
static_assert(kTextRoom <= RTE_TEL_MAX_STRING_LEN);

std::mutex current_mutex;
std::shared_ptr<TelemetryState> current;

std::shared_ptr<TelemetryState> current_state() {
    const std::lock_guard lock(current_mutex);
    return current;
}

void set_current(std::shared_ptr<TelemetryState> state) {
    const std::lock_guard lock(current_mutex);
    current = std::move(state);
}

void put_number(rte_tel_data* data, const char* name, uint64_t value) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    rte_tel_data_add_dict_uint(data, name, value);
#else
    rte_tel_data_add_dict_u64(data, name, value);
#endif
}

int start_strings(rte_tel_data* data) {
    return rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
}

void add_strings(rte_tel_data* data, std::span<const std::string> strings) {
    for (const std::string& string : strings)
        rte_tel_data_add_array_string(data, string.c_str());
}

/// Adds a part to `dict`, started by `start`. nullptr: out of memory, the part is left out.
template <class Start>
rte_tel_data* add_part(rte_tel_data* dict, const char* name, Start start) {
    rte_tel_data* const part = dict != nullptr ? rte_tel_data_alloc() : nullptr;
    if (part == nullptr)
        return nullptr;
    start(part);  // DPDK only accepts a part that has been started
    if (rte_tel_data_add_dict_container(dict, name, part, 0) == 0)
        return part;
    rte_tel_data_free(part);
    return nullptr;
}

/// Puts a value into a JSON object.
struct Put {
    rte_tel_data* dict;
    const char* name;
    size_t most_strings;

    void operator()(uint64_t number) const { put_number(dict, name, number); }
    void operator()(bool yes) const { (*this)(std::string(yes ? "yes" : "no")); }
    void operator()(const std::string& words) const {
        rte_tel_data_add_dict_string(dict, name, words.c_str());
    }
    void operator()(const std::vector<std::string>& list) const {
        rte_tel_data* const array = add_part(dict, name, start_strings);
        if (array != nullptr)
            add_strings(array, std::span(list.data(), std::min(list.size(), most_strings)));
    }
};

/// Puts facts into nested objects, as their paths say.
void put_facts(rte_tel_data* data, const Facts& facts, size_t most_strings) {
    std::map<Text, rte_tel_data*> objects;
    for (const Fact& fact : facts) {
        const Text path = fact.path;
        rte_tel_data* object = data;
        size_t begin = 0;
        for (size_t end = 0; (end = path.find('.', begin)) != Text::npos; begin = end + 1) {
            const auto [known, fresh] = objects.try_emplace(path.substr(0, end), nullptr);
            const std::string name(path.substr(begin, end - begin));
            if (fresh)
                known->second = add_part(object, name.c_str(), rte_tel_data_start_dict);
            object = known->second;
        }
        if (object != nullptr)
            std::visit(Put{object, fact.path.c_str() + begin, most_strings}, fact.value);
    }
}

int answer(rte_tel_data* data, const Facts& facts, size_t most_strings = kStringsListed) {
    rte_tel_data_start_dict(data);
    put_facts(data, facts, most_strings);
    return 0;
}

int answer(rte_tel_data* data, std::span<const std::string> strings) {
    start_strings(data);
    add_strings(data, strings);
    return 0;
}

/// The bytes of a fact as JSON, in an answer that lists its strings.
size_t bytes_of(const Fact& fact) {
    constexpr size_t kMarks = 6;  // quotes, colon, comma, and the brackets of a list
    size_t bytes = fact.path.size() - (fact.path.rfind('.') + 1) + kMarks;
    if (const auto* list = std::get_if<std::vector<std::string>>(&fact.value)) {
        for (size_t i = 0; i < std::min(list->size(), kStringsListed); ++i)
            bytes += (*list)[i].size() + kMarks;
        return bytes;
    }
    return bytes + text_of(fact).size();
}

/// The number that `text` is.
std::optional<uint32_t> number_in(Text text) {
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

/// `facts` without the last groups and spaces that do not fit into an answer; these are counted.
Facts fitting(const Facts& facts) {
    constexpr std::array<Text, 2> kLists = {"groups.", "spaces."};
    constexpr size_t kItem = 12;               // the number of an item, and its brackets
    std::array<std::vector<size_t>, 2> bytes;  // of the items of each list
    size_t room = kAnswerRoom;
    // The number of the list and of the item that a fact belongs to.
    const auto item_of = [&](const Fact& fact) -> std::optional<std::pair<size_t, uint32_t>> {
        for (size_t list = 0; list < kLists.size(); ++list)
            if (fact.path.starts_with(kLists[list])) {
                const Text rest = Text(fact.path).substr(kLists[list].size());
                if (const auto item = number_in(rest.substr(0, rest.find('.'))))
                    return std::pair(list, *item);
            }
        return std::nullopt;
    };
    for (const Fact& fact : facts) {
        if (const auto item = item_of(fact)) {
            auto& sizes = bytes[item->first];
            sizes.resize(std::max<size_t>(sizes.size(), item->second + 1), kItem);
            sizes[item->second] += bytes_of(fact);
        } else {
            room -= std::min(room, bytes_of(fact));
        }
    }
    std::array<size_t, 2> fit{};
    for (size_t list = 0; list < kLists.size(); ++list)
        for (; fit[list] < bytes[list].size() && bytes[list][fit[list]] <= room; ++fit[list])
            room -= bytes[list][fit[list]];
    Facts kept;
    for (const Fact& fact : facts)
        if (const auto item = item_of(fact); !item || item->second < fit[item->first])
            kept.push_back(fact);
    kept.push_back({"groups_left_out", bytes[0].size() - fit[0]});
    kept.push_back({"spaces_left_out", bytes[1].size() - fit[1]});
    return kept;
}

const Endpoint* find(const TelemetryState& state, Text name) {
    const auto found = std::ranges::find(state.devices, name, &Endpoint::name);
    return found != state.devices.end() ? *found : nullptr;
}

int on_info(const TelemetryState& state, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    if (!rest.empty())
        return -EINVAL;
    return answer(
        data, fitting(device_facts(endpoint, endpoint.device->info(), state.control_lcore))
    );
}

/// One item of the list `list` of /vduse/info, such as "groups".
template <const char* list>
int on_item(const TelemetryState& state, const Endpoint& endpoint, Text rest, rte_tel_data* data) {
    const auto number = number_in(rest);
    if (!number)
        return -EINVAL;
    const Facts facts = below(
        device_facts(endpoint, endpoint.device->info(), state.control_lcore),
        std::string(list) + "." + std::to_string(*number)
    );
    return !facts.empty() ? answer(data, facts, kStringsListedAlone) : -ERANGE;
}
constexpr char kGroups[] = "groups";
constexpr char kSpaces[] = "spaces";

int on_stats(
    const TelemetryState& /*state*/, const Endpoint& endpoint, Text rest, rte_tel_data* data
) {
    if (!rest.empty())
        return -EINVAL;
    const DeviceInfo info = endpoint.device->info();
    const Facts head{
        {"name", endpoint.name}, {"commands", info.commands}, {"refused", info.refused}};
    return answer(data, join(head, traffic_facts(endpoint, 0, endpoint.queues - 1)));
}

int on_queue(
    const TelemetryState& /*state*/, const Endpoint& endpoint, Text rest, rte_tel_data* data
) {
    const auto index = number_in(rest);
    if (!index)
        return -EINVAL;
    const auto info = endpoint.device->queue_info(*index);
    if (!info)
        return -ERANGE;
    return answer(data, join({{"name", endpoint.name}, {"queue", *index}}, describe(*info)));
}

std::string text_of(const ControlEvent& event) {
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

int on_events(
    const TelemetryState& /*state*/, const Endpoint& endpoint, Text rest, rte_tel_data* data
) {
    if (!rest.empty())
        return -EINVAL;
    std::vector<std::string> lines;
    for (const ControlEvent& event : endpoint.device->events())
        lines.push_back(text_of(event));
    return answer(data, lines);
}

int on_bridge(const TelemetryState& state, Text parameters, rte_tel_data* data) {
    const auto found = std::ranges::find(state.bridges, parameters, &Bridge::name);
    return found != state.bridges.end() ? answer(data, bridge_facts(**found)) : -ENODEV;
}

/// Answers a command. `rest`: the parameters after the name.
using Body = int (*)(const TelemetryState&, const Endpoint&, Text rest, rte_tel_data*);

/// "NAME" or "NAME,REST". An empty rest after a comma is always an error.
template <Body body>
int on_device(const TelemetryState& state, Text parameters, rte_tel_data* data) {
    const size_t end = std::min(parameters.find(','), parameters.size());
    const Endpoint* const endpoint = find(state, parameters.substr(0, end));
    if (endpoint == nullptr)
        return -ENODEV;
    if (end + 1 == parameters.size())
        return -EINVAL;
    return body(state, *endpoint, parameters.substr(std::min(end + 1, parameters.size())), data);
}

/// DPDK's callback of a command. `answer_it` answers it, on the control thread.
template <int (*answer_it)(const TelemetryState&, Text parameters, rte_tel_data*)>
int on_command(const char* /*command*/, const char* parameters, rte_tel_data* data) {
    if (parameters == nullptr)
        return -EINVAL;
    const auto state = current_state();
    if (state == nullptr)
        return -ENODEV;
    int status = -ETIMEDOUT;
    state->calls.run([&] { status = answer_it(*state, parameters, data); });
    return status;
}

/// Names never change, so this needs no call to control.
int on_list(const char* /*command*/, const char* parameters, rte_tel_data* data) {
    const auto state = current_state();
    if (state == nullptr)
        return -ENODEV;
    if (parameters != nullptr && *parameters != '\0')
        return -EINVAL;
    std::vector<std::string> names;
    for (const Endpoint* const device : state->devices)
        names.push_back(device->name);
    return answer(data, names);
}

void register_commands() {
    rte_telemetry_register_cmd("/vduse/list", on_list, "Names of the devices. Parameters: none");
    rte_telemetry_register_cmd(
        "/vduse/info", on_command<on_device<on_info>>, "State of a device. Parameters: NAME"
    );
    rte_telemetry_register_cmd(
        "/vduse/group",
        on_command<on_device<on_item<kGroups>>>,
        "One virtqueue group. Parameters: NAME,NUMBER"
    );
    rte_telemetry_register_cmd(
        "/vduse/space",
        on_command<on_device<on_item<kSpaces>>>,
        "One address space and its first 256 regions. Parameters: NAME,NUMBER"
    );
    rte_telemetry_register_cmd(
        "/vduse/stats", on_command<on_device<on_stats>>, "Counters of a device. Parameters: NAME"
    );
    rte_telemetry_register_cmd(
        "/vduse/queue", on_command<on_device<on_queue>>, "One virtqueue. Parameters: NAME,NUMBER"
    );
    rte_telemetry_register_cmd(
        "/vduse/events",
        on_command<on_device<on_events>>,
        "The last 64 messages of the kernel. Parameters: NAME"
    );
    rte_telemetry_register_cmd(
        "/vduse/bridge", on_command<on_bridge>, "Counters of a bridge. Parameters: bridgeNUMBER"
    );
}

}  // namespace

Telemetry::Telemetry(
    std::function<void()> wake,
    std::vector<const Endpoint*> devices,
    std::vector<const Bridge*> bridges,
    unsigned control_lcore
)
    : state_(new TelemetryState{
          ControlCalls(std::move(wake)), std::move(devices), std::move(bridges), control_lcore}) {
    static std::once_flag registered;
    std::call_once(registered, register_commands);
    set_current(state_);
}

Telemetry::~Telemetry() {
    set_current(nullptr);
    state_->calls.close();
}

void Telemetry::serve() {
    state_->calls.serve();
}

}  // namespace vduse::app
