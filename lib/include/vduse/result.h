// SPDX-License-Identifier: BSD-3-Clause

// Result<T>: a value or an Error, for everything outside the datapath.
//
// C++20 has no std::expected and clang 14 does not support it, so this is the small part of it that
// is needed. An Error carries an errno value and a text for people. It is logged once, by the
// caller that cannot pass it on.
#pragma once

#include <cassert>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace vduse {

/// An error, for programs and for people.
struct Error {
    int code = 0;      ///< An errno value, never 0.
    std::string what;  ///< The operation that failed, or what is wrong.

    [[nodiscard]] std::string text() const { return what + ": " + std::strerror(code); }
};

/// A value, or an error in its place.
template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : content_(std::move(value)) {}
    Result(Error error) : content_(std::move(error)) {}

    explicit operator bool() const noexcept { return content_.index() == 0; }
    T& operator*() noexcept { return *std::get_if<0>(&content_); }
    const T& operator*() const noexcept { return *std::get_if<0>(&content_); }
    T* operator->() noexcept { return std::get_if<0>(&content_); }
    const T* operator->() const noexcept { return std::get_if<0>(&content_); }
    [[nodiscard]] const Error& error() const noexcept { return *std::get_if<1>(&content_); }

  private:
    std::variant<T, Error> content_;
};

/// Success, or an error.
template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) { assert(error_.code != 0); }

    explicit operator bool() const noexcept { return error_.code == 0; }
    [[nodiscard]] const Error& error() const noexcept { return error_; }

  private:
    Error error_;
};

}  // namespace vduse
