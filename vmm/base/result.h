// Result<T>: how every module reports failure. It is returned, never thrown, so that a caller sees that a
// call can fail and the frame path pays for no unwinding. A guest's mistake is an Error or a counted drop; a
// mistake in our own code is an assert.
#pragma once

#include <fmt/core.h>  // not <fmt/format.h>, which costs every file 1.2 s to compile

#include <cerrno>
#include <cstring>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace glassbox {

// One line for people: the thing, what was wrong with it, and the remedy if there is one.
struct Error {
  std::string message;
  int code = 0;  // the errno, or 0 if there is none
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(Error{fmt::format(text, std::forward<Args>(args)...), 0});
}

// As fail(), with ": <strerror>" appended; errnum is taken by value first, so fail_errno(errno, ...) is safe.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail_errno(int errnum, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(
      Error{fmt::format(text, std::forward<Args>(args)...) + ": " + std::strerror(errnum), errnum});
}

}  // namespace glassbox

// Propagates the error of a Status or Result whose value is not needed.
#define GB_TRY(expr)                                                          \
  do {                                                                        \
    if (auto gb_status = (expr); !gb_status) {                                \
      return tl::unexpected<::glassbox::Error>(std::move(gb_status.error())); \
    }                                                                         \
  } while (0)

#define GB_CONCAT_(a, b) a##b
#define GB_CONCAT(a, b) GB_CONCAT_(a, b)
// GB_ASSIGN(auto fd, open_it()): declares or assigns from a Result, or returns its error.
#define GB_ASSIGN(lhs, expr) GB_ASSIGN_IMPL(GB_CONCAT(gb_result_, __LINE__), lhs, expr)
#define GB_ASSIGN_IMPL(tmp, lhs, expr)                                        \
  auto tmp = (expr);                                                          \
  if (!tmp) return tl::unexpected<::glassbox::Error>(std::move(tmp.error())); \
  lhs = std::move(*tmp)
