// SPDX-License-Identifier: BSD-3-Clause

// "net_reluctant": an ethdev driver that reports many capabilities and supports only those that a
// test allows.
//
// It needs the headers of DPDK's driver SDK. Only one port can exist at a time.
#pragma once

#include <cstdint>

namespace vduse::test {

struct Reluctant {
    // What it supports. The defaults are what it reports.
    bool interrupts = true;
    bool rss = true;
    uint16_t queues = 16;
    uint16_t descriptors = 4096;
    uint16_t mtu = 9702;
    bool scatter = true;
    bool offloads = true;
    bool starts = true;
    // Which of these it reports.
    bool claims_scatter = true;
    bool claims_offloads = false;
    uint16_t default_ring = 0;  ///< its default number of descriptors; 0: it reports none
    // What happened.
    unsigned attempts = 0;  ///< calls that it refused: configuration, rx queue set-up, start
    bool started = false;
    unsigned stats_calls = 0;  ///< each reports 7 received frames
    unsigned other_calls = 0;  ///< calls for statistics, link or bursts
};

/// The settings and results of the one port. A test changes it before it starts the port.
extern Reluctant reluctant;

}  // namespace vduse::test
