// SPDX-License-Identifier: BSD-3-Clause

#include "app/options/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace vduse::app {

Result<std::string> read_whole_file(const std::string& name, size_t most) {
    const UniqueFd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file)
        return Error{errno, std::strerror(errno)};
    return read_whole_file(file.get(), most);
}

Result<std::string> read_whole_file(int fd, size_t most) {
    std::string content;
    std::array<char, 4096> part;
    while (content.size() <= most) {
        const ssize_t bytes = ::read(fd, part.data(), part.size());
        if (bytes == 0)
            return content;
        if (bytes > 0)
            content.append(part.data(), static_cast<size_t>(bytes));
        else if (errno != EINTR)
            return Error{errno, std::strerror(errno)};
    }
    return Error{EFBIG, "it has more than " + std::to_string(most) + " bytes"};
}

}  // namespace vduse::app
