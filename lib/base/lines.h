// SPDX-License-Identifier: BSD-3-Clause

// Lines for people, written by a thread of their own: who writes to a pipe that nobody reads, or to
// a terminal that was stopped, waits for ever. The control thread must not, as the kernel gives a
// device up that does not answer for 30 s.
//
//     post  ->  queue, of kMostWaiting bytes  ->  the thread  ->  stdout, stderr, DPDK's log
//
// What the queue has no room for is dropped and counted, and a line says how much it was when the
// reader comes back. Order is kept. Until `start`, and in a child that was forked, `post` writes
// itself.
//
// Threads: any but data threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vduse::lines {

/// Writes one or more whole lines; `tag` is what `post` was given.
using Write = void (*)(uint64_t tag, const std::string& text);

inline constexpr size_t kMostWaiting = size_t{1} << 20;

/// From now on lines are written by the thread. Once is enough; where no thread can be had, nothing
/// changes.
void start();

void post(Write write, uint64_t tag, std::string text);

/// Bytes that are not written yet.
size_t waiting();

/// Returns when all is written; false: not within `limit`.
bool flush(std::chrono::milliseconds limit);

}  // namespace vduse::lines
