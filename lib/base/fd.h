// SPDX-License-Identifier: BSD-3-Clause

// UniqueFd and Mapping: file descriptors and mappings that close and unmap themselves. Also the
// write to an eventfd.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace vduse {

/// Owns a file descriptor; -1 means none.
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFd() {
        if (fd_ >= 0)
            ::close(fd_);
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

/// Moves a file to a high descriptor number, if the limits of the process allow it. When the
/// process dies, the file is then closed before files that may keep the process in the kernel.
/// Linux closes files from the highest number down (exit_files() only queues them, and
/// task_work_run() begins with the last). Closing a tap, for example, waits for RTNL, whose owner
/// may wait for the next process.
inline UniqueFd dup_to_high_fd(UniqueFd fd) noexcept {
    constexpr int kHigh = 768;  // of 1024 descriptors, the usual limit of a process
    UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kHigh));
    return high ? std::move(high) : std::move(fd);
}

/// Makes the eventfd `fd` readable. Any thread, also in a signal handler. Failure does not matter:
/// a counter that is full is readable already.
inline void raise_eventfd(int fd) noexcept {
    const uint64_t one = 1;
    (void)!::write(fd, &one, sizeof one);
}

/// Owns one mmap()ed range.
class Mapping {
  public:
    Mapping() = default;
    Mapping(void* address, size_t bytes) noexcept : address_(address), bytes_(bytes) {}
    Mapping(Mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Mapping() {
        if (address_ != nullptr)
            ::munmap(address_, bytes_);
    }

    [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(address_); }
    [[nodiscard]] size_t bytes() const noexcept { return bytes_; }

  private:
    void* address_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace vduse
