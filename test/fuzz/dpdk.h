// DPDK for fuzz targets: started once, silent, with one pool that every input must leave full.
#pragma once

#include <rte_log.h>

#include "fuzz/input.h"
#include "support/mbufs.h"

namespace vduse::test {

/// Few and small mbufs, so that frames are chained and mbufs run out.
inline MbufPool& pool() {
    static MbufPool& only = []() -> MbufPool& {
        check(start_eal(), "the EAL starts");
        rte_log_set_level_pattern("*", RTE_LOG_EMERG);
        static MbufPool made(63, 256);
        check(made.get() != nullptr, "there is memory for mbufs");
        return made;
    }();
    return only;
}

}  // namespace vduse::test
