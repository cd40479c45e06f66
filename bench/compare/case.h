// SPDX-License-Identifier: BSD-3-Clause

// The cases of bench/compare, and what is measured of each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vduse::bench {

/// Where the buffers lie. rte_vhost searches its regions from the lowest on, so for it `last` is
/// the worst place, and that of most memory of a large guest; `spread` puts neighbours in the ring
/// into different regions, at random, which is the worst for a lookup that remembers its last hit.
enum class Where : uint8_t { last, spread };

/// What frames leave to others: nothing, their checksum, or being cut into segments as well. With
/// the latter two, checksums and TSO are negotiated.
enum class Leaves : uint8_t { nothing, csum, tso };

struct Case {
    bool to_guest = false;
    uint32_t frame = 64;
    uint16_t burst = 32;
    uint32_t regions = 1;
    unsigned cores = 1;
    Where where = Where::last;
    Leaves leaves = Leaves::nothing;

    /// For example from_guest/frame64/burst32/regions8/cores1/last, or with /csum or /tso behind
    /// that; filters name parts of it.
    [[nodiscard]] std::string name() const;
    [[nodiscard]] bool matches(std::span<const std::string> filters) const;
};

/// All of them, in an order in which the number of regions changes as rarely as can be.
std::vector<Case> all_cases();

/// TSC cycles per frame: the median of the rounds, and half the distance of their quartiles.
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
    uint64_t round_trip = 0;  ///< core to core, measured just before; 0: there is one core

    [[nodiscard]] double ratio() const { return vhost.median / ours.median; }
};

void print_head();
void print_row(const Measured& row);
/// false: the file cannot be written.
bool write_json(const std::string& path, std::span<const Measured> rows);

}  // namespace vduse::bench
