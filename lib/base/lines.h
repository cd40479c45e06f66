// SPDX-License-Identifier: BSD-3-Clause

// Lines for people, written by a separate thread. A write to a pipe that nobody reads, or to a
// stopped terminal, blocks forever. The control thread must not block, because the kernel gives a
// device up that does not answer for 30 s.
//
//     post  ->  queue of kMostWaiting bytes  ->  the thread  ->  stdout, stderr, DPDK's log
//
// If the queue is full, lines are dropped and counted. When the reader is back, a line tells how
// many were dropped. Order is kept. Before `start`, and in a forked child, `post` writes the line
// itself.
//
// Threads: any but data threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vduse::lines {

/// Writes one or more whole lines. `tag` is the argument of `post`.
using Write = void (*)(uint64_t tag, const std::string& text);

inline constexpr size_t kMostWaiting = size_t{1} << 20;

/// Starts the thread, which writes lines from now on. May be called again. If no thread can be
/// created, nothing changes.
void start();

void post(Write write, uint64_t tag, std::string text);

/// Bytes that are not written yet.
size_t waiting();

/// Waits until all lines are written. false: that took longer than `limit`.
bool flush(std::chrono::milliseconds limit);

}  // namespace vduse::lines
