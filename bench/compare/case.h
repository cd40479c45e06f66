// SPDX-License-Identifier: BSD-3-Clause

// The cases of bench/compare, and the results of each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vduse::bench {

/// Where the buffers are. rte_vhost searches its regions from the lowest one, so `last` is its
/// worst case, and where most memory of a large guest is. `spread` puts neighbours in the ring into
/// random regions, which is the worst case for a lookup that remembers its last hit.
enum class Where : uint8_t { last, spread };

/// The work that frames leave to the other side: nothing, their checksum, or also segmentation. For
/// the latter two, checksum offloads and TSO are negotiated.
enum class Leaves : uint8_t { nothing, csum, tso };

struct Case {
    bool to_guest = false;
    uint32_t frame = 64;
    uint16_t burst = 32;
    uint32_t regions = 1;
    unsigned cores = 1;
    Where where = Where::last;
    Leaves leaves = Leaves::nothing;
    /// With two cores: the driver is at work during the measured calls, not only before and after.
    bool busy = false;

    /// For example from_guest/frame64/burst32/regions8/cores1/last, possibly followed by /csum,
    /// /tso or /busy. Filters name parts of it.
    [[nodiscard]] std::string name() const;
    [[nodiscard]] bool matches(std::span<const std::string> filters) const;
};

/// All cases, ordered so that the number of regions rarely changes.
std::vector<Case> all_cases();

/// TSC cycles per frame: the median of the rounds, and half of their interquartile range.
struct Cost {
    double median = 0;
    double spread = 0;

    static Cost of(std::vector<double> rounds);
};

struct Measured {
    Case what;
    Cost ours;
    Cost vhost;
    Cost floor;
    uint64_t round_trip = 0;  ///< core to core, measured just before; 0: only one core

    [[nodiscard]] double ratio() const { return vhost.median / ours.median; }
};

void print_head();
void print_row(const Measured& row);
/// Returns false if the file cannot be written.
bool write_json(const std::string& path, std::span<const Measured> rows);

}  // namespace vduse::bench
