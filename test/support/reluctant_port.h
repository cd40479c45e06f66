// SPDX-License-Identifier: BSD-3-Clause

// "net_reluctant": an ethdev driver that claims much and gives as little as a test wants.
//
// It needs the headers of the driver SDK. One port at a time.
#pragma once

#include <cstdint>

namespace vduse::test {

struct Reluctant {
    // What it gives; its claims are the defaults.
    bool interrupts = true;
    bool rss = true;
    uint16_t queues = 16;
    uint16_t descriptors = 4096;
    uint16_t mtu = 9702;
    bool scatter = true;
    bool offloads = true;
    bool starts = true;
    // What it claims of that.
    bool claims_scatter = true;
    bool claims_offloads = false;
    uint16_t default_ring = 0;  ///< its own number of descriptors, 0: it tells none
    // What came of it.
    unsigned attempts = 0;  ///< configurations and starts that it refused
    bool started = false;
    unsigned other_calls = 0;  ///< of statistics, links and bursts
};

/// Of the port that there is; a test sets it before it starts the port.
extern Reluctant reluctant;

}  // namespace vduse::test
