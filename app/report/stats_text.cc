// SPDX-License-Identifier: BSD-3-Clause

// How it works: one function for each kind of line. The values are the same facts as in telemetry.
// A line is a template with names in braces, which are replaced by facts. `lost` of a pair's
// to_guest side is the sum of the frames that the device dropped and of those that it did not take,
// which the switch counts.
#include "app/report/stats_text.h"

#include <algorithm>
#include <string_view>

#include "app/report/facts.h"
#include "options/parse.h"

namespace vduse::app {
namespace {

std::string words_of(const Fact& fact) {
    const auto* const flag = std::get_if<bool>(&fact.value);
    return flag == nullptr ? text_of(fact) : *flag ? "on" : "off";
}

/// Replaces {NAME} and {NAME:WIDTH} in `form` by facts, or by "none" if there is no such fact.
std::string fill(std::string_view form, const Facts& facts) {
    std::string line;
    for (size_t begin = 0; (begin = form.find('{')) != std::string_view::npos;) {
        line += form.substr(0, begin);
        const size_t end = form.find('}');
        std::string_view name = form.substr(begin + 1, end - begin - 1);
        form.remove_prefix(end + 1);
        const std::string_view path = parse::cut(name, ':');
        const Fact* const fact = find(facts, path);
        const std::string words = fact != nullptr ? words_of(*fact) : "none";
        const size_t width = parse::number(name).value_or(0);
        line += words + std::string(width - std::min(width, words.size()), ' ');
    }
    return line.append(form);
}

std::string pair_line(const Endpoint& endpoint, uint16_t pair) {
    const Facts traffic = traffic_facts(endpoint, pair, pair);
    const auto count = [&](const char* path) {
        return std::get<uint64_t>(find(traffic, path)->value);
    };
    const uint64_t lost = count("to_guest.dropped") + count("to_guest.not_taken");
    return fill(
        "  pair {pair}: from_guest {from_guest.frames} frames {from_guest.bytes} bytes "
        "{from_guest.dropped} dropped, to_guest {to_guest.frames} frames {to_guest.bytes} bytes "
        "{lost} dropped\n",
        join({{"pair", pair}, {"lost", lost}}, traffic)
    );
}

/// "NAME: 1 this, 2 that other"
std::string counts(const std::string& name, const Facts& facts) {
    std::string line;
    for (const Fact& fact : facts)
        line += (line.empty() ? "" : ", ") + text_of(fact) + " " + fact.path;
    std::ranges::replace(line, '_', ' ');
    return name + ": " + line + "\n";
}

}  // namespace

std::string device_block(const Endpoint& endpoint, unsigned control_lcore) {
    const DeviceInfo info = endpoint.device->info();
    const Facts facts = device_facts(endpoint, info, control_lcore);
    std::string text = fill(
        "{name}: link {link}, status {status}, features {features}, pairs {active_pairs} of "
        "{queue_pairs}\n",
        facts
    );
    for (size_t i = 0; i < info.groups.size(); ++i) {
        const std::string number = std::to_string(i);
        text += "  group " + number;
        text += fill(
            " {use:8} asid {asid}  queues {first_queue}-{last_queue}  lcore {lcore}\n",
            below(facts, "groups." + number)
        );
    }
    for (size_t i = 0; i < info.spaces.size(); ++i) {
        const std::string number = std::to_string(i);
        const char* const form = info.spaces[i].empty() ? ": {region_count} regions\n"
                                                        : ": {region_count} regions: {regions}\n";
        text += "  space " + number + fill(form, below(facts, "spaces." + number));
    }
    for (uint16_t pair = 0; pair < endpoint.queues; ++pair)
        text += pair_line(endpoint, pair);
    text += "  control: " + std::to_string(info.commands) + " commands, " +
            std::to_string(info.refused) + " refused\n";
    text += fill(
        "  mac {mac}, promisc {promiscuous}, allmulti {all_multicast}, {unicast} unicast, "
        "{multicast} multicast, {vlans} vlans\n",
        facts
    );
    for (const std::string& problem : info.problems)
        text += "  problem: " + problem + "\n";
    return text;
}

std::string port_line(const Endpoint& endpoint) {
    const bool in_service = endpoint.in_service.load(std::memory_order_relaxed);
    uint64_t dropped = 0;
    uint64_t finished = 0;
    uint64_t offloaded = 0;
    for (uint16_t queue = 0; queue < endpoint.queues; ++queue) {
        dropped += endpoint.dropped[queue].read();
        finished += endpoint.finished[queue].read();
        offloaded += endpoint.offloaded[queue].read();
    }
    return fill(
               "{name}: link {link}, rx {rx_frames} frames {rx_bytes} bytes, tx {tx_frames} frames "
               "{tx_bytes} bytes {dropped} dropped {finished} finished {offloaded} offloaded",
               {{"name", endpoint.name},
                {"link", endpoint.link.up.load(std::memory_order_relaxed) ? "up" : "down"},
                {"rx_frames", endpoint.traffic.rx_frames.load(std::memory_order_relaxed)},
                {"rx_bytes", endpoint.traffic.rx_bytes.load(std::memory_order_relaxed)},
                {"tx_frames", endpoint.traffic.tx_frames.load(std::memory_order_relaxed)},
                {"tx_bytes", endpoint.traffic.tx_bytes.load(std::memory_order_relaxed)},
                {"dropped", dropped},
                {"finished", finished},
                {"offloaded", offloaded}}
           ) +
           (in_service ? "\n" : ", out of service\n");
}

std::string bridge_line(const Bridge& bridge) {
    return counts(bridge.name(), bridge_facts(bridge));
}

std::string worker_line(const WorkerInfo& worker) {
    return counts(
        "lcore " + std::to_string(worker.lcore),
        {{"sleeps", worker.sleeps}, {"wake-ups", worker.wake_ups}}
    );
}

}  // namespace vduse::app
