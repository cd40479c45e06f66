// SPDX-License-Identifier: BSD-3-Clause

// Reads a whole file once, so that the bytes that are checked are the bytes that are used. This
// includes pipes, which cannot be read twice, and files that change meanwhile.
//
// A file that cannot be read to its end is an error, never a shorter file. Threads: any.
#pragma once

#include <cstddef>
#include <string>

#include "vduse/result.h"

namespace vduse::app {

/// Waits for the writer of a pipe. Code EFBIG: the file has more than `most` bytes.
Result<std::string> read_whole_file(const std::string& name, size_t most);
/// Starts at the current offset of `fd`.
Result<std::string> read_whole_file(int fd, size_t most);

}  // namespace vduse::app
