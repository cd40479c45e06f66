// SPDX-License-Identifier: BSD-3-Clause

// DPDK for fuzz targets: started once, silent, with one pool that every input must leave full.
#pragma once

#include <rte_log.h>

#include "fuzz/input.h"
#include "support/mbufs.h"

namespace vduse::test {

/// Bytes of a frame that one mbuf of the pool holds.
inline constexpr uint16_t kMbufRoom = 256;

/// Few and small mbufs, so that frames are chained and mbufs run out.
inline MbufPool& pool() {
    static MbufPool& only = []() -> MbufPool& {
        check(start_eal(), "the EAL starts");
        rte_log_set_level_pattern("*", RTE_LOG_EMERG);
        static MbufPool made(63, kMbufRoom);
        check(made.get() != nullptr, "there is memory for mbufs");
        return made;
    }();
    return only;
}

}  // namespace vduse::test
