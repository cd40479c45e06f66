// SPDX-License-Identifier: BSD-3-Clause

// DPDK for fuzz targets: started once, without log, and with one pool to which every input must
// return all mbufs.
#pragma once

#include <rte_log.h>

#include "fuzz/input.h"
#include "support/mbufs.h"

namespace vduse::test {

/// Data bytes of one mbuf of the pool.
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
