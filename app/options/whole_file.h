// SPDX-License-Identifier: BSD-3-Clause

// A whole file, read once: what is checked is then what is used, also of a pipe, which can be read
// no second time, and of a file that somebody changes meanwhile.
//
// A file that cannot be read to its end is an error, never a shorter file. Threads: any.
#pragma once

#include <cstddef>
#include <string>

#include "vduse/result.h"

namespace vduse::app {

/// Waits for the writer of a pipe. Code EFBIG: it has more than `most` bytes.
Result<std::string> read_whole_file(const std::string& name, size_t most);
/// From where `fd` is.
Result<std::string> read_whole_file(int fd, size_t most);

}  // namespace vduse::app
