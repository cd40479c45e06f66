// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/case.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace vduse::bench {

std::string Case::name() const {
    return std::string(to_guest ? "to_guest" : "from_guest") + "/frame" + std::to_string(frame) +
           "/burst" + std::to_string(burst) + "/regions" + std::to_string(regions) + "/cores" +
           std::to_string(cores) + (where == Where::last ? "/last" : "/spread") +
           (leaves == Leaves::csum  ? "/csum"
            : leaves == Leaves::tso ? "/tso"
            : busy                  ? "/busy"
                                    : "");
}

bool Case::matches(std::span<const std::string> filters) const {
    const auto is_part = [parts = name() + '/'](const std::string& filter) {
        const size_t at = parts.find(filter + '/');
        return at != parts.npos && (at == 0 || parts[at - 1] == '/');
    };
    return std::ranges::all_of(filters, is_part);
}

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const uint32_t regions : {1U, 8U, 64U, 512U})
        for (const Where where : {Where::last, Where::spread})
            for (const unsigned cores : {1U, 2U})
                for (const uint16_t burst : {uint16_t{32}, uint16_t{1}})
                    for (const uint32_t frame : {64U, 512U, 1518U})
                        for (const bool to_guest : {false, true})
                            if (where == Where::last || regions > 1)
                                cases.push_back({to_guest, frame, burst, regions, cores, where});
    for (const uint16_t burst : {uint16_t{32}, uint16_t{1}})
        for (const uint32_t frame : {64U, 1518U})
            for (const bool to_guest : {false, true})
                cases.push_back(
                    {.to_guest = to_guest, .frame = frame, .burst = burst, .cores = 2, .busy = true}
                );
    // Shorter than a cache line: ARP, and the shortest frame without its checksum.
    for (const uint32_t frame : {42U, 60U})
        for (const bool to_guest : {false, true})
            cases.push_back({.to_guest = to_guest, .frame = frame});
    for (const auto& [frame, leaves] :
         {std::pair{1518U, Leaves::csum}, {9014U, Leaves::tso}, {65226U, Leaves::tso}})
        for (const bool to_guest : {false, true})
            cases.push_back({to_guest, frame, 32, 1, 1, Where::last, leaves});
    return cases;
}

Cost Cost::of(std::vector<double> rounds) {
    std::sort(rounds.begin(), rounds.end());
    const size_t count = rounds.size();
    return {rounds[count / 2], (rounds[count * 3 / 4] - rounds[count / 4]) / 2};
}

void print_head() {
    std::printf(
        "TSC cycles per frame: median of the rounds, half the distance of their quartiles\n"
        "%-52s %15s %15s %15s %6s %6s\n",
        "case",
        "ours",
        "rte_vhost",
        "floor",
        "ratio",
        "rtt"
    );
}

void print_row(const Measured& row) {
    std::printf("%-52s", row.what.name().c_str());
    for (const Cost& cost : {row.ours, row.vhost, row.floor})
        std::printf(" %8.1f ±%5.1f", cost.median, cost.spread);
    std::printf(" %6.2f %6llu\n", row.ratio(), static_cast<unsigned long long>(row.round_trip));
    std::fflush(stdout);
}

bool write_json(const std::string& path, std::span<const Measured> rows) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr)
        return false;
    std::fprintf(file, "[");
    const char* separator = "\n";
    for (const Measured& row : rows) {
        std::fprintf(
            file,
            "%s  {\"case\": \"%s\", \"direction\": \"%s\", \"frame\": %u, \"burst\": %u, "
            "\"regions\": %u, \"cores\": %u, \"ours_tsc\": %.2f, \"vhost_tsc\": %.2f, "
            "\"floor_tsc\": %.2f, \"ratio\": %.3f, \"ours_spread\": %.2f, \"vhost_spread\": %.2f, "
            "\"floor_spread\": %.2f, \"round_trip_tsc\": %llu}",
            separator,
            row.what.name().c_str(),
            row.what.to_guest ? "to_guest" : "from_guest",
            row.what.frame,
            unsigned{row.what.burst},
            row.what.regions,
            row.what.cores,
            row.ours.median,
            row.vhost.median,
            row.floor.median,
            row.ratio(),
            row.ours.spread,
            row.vhost.spread,
            row.floor.spread,
            static_cast<unsigned long long>(row.round_trip)
        );
        separator = ",\n";
    }
    std::fprintf(file, "\n]\n");
    return std::fclose(file) == 0;
}

}  // namespace vduse::bench
