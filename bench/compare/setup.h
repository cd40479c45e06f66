// SPDX-License-Identifier: BSD-3-Clause

// What the benchmarks of burst functions have in common: DPDK, a pool, and where the buffers are.
#pragma once

#include <rte_mbuf.h>

#include <span>

#include "bench/compare/case.h"
#include "bench/compare/ram.h"
#include "bench/compare/side.h"

namespace vduse::bench {

/// Starts EAL on `cpu`, without hugepages. Exits if it does not start.
void start_eal(int cpu);

/// FILE of `--json FILE`, the only option of some benchmarks; nullptr without it. Exits if there is
/// anything else.
const char* json_option(int argc, char** argv);

/// A pool with a cache, large enough for all cases.
rte_mempool* make_pool();

/// The rings of side number `side`, at the start of the memory.
AddressPair rings_of(const Ram& ram, uint64_t side);

/// Gives the drivers of all sides the same buffers, with the stride of mempool objects. They lie
/// behind the rings of three sides.
void place_buffers(const Ram& ram, Where where, std::span<Side* const> sides);

}  // namespace vduse::bench
