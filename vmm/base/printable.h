// Text that came from elsewhere (a guest, another user's files) on its way to a terminal.
#pragma once

#include <string>
#include <string_view>

namespace glassbox {

// The text, cut to `limit` bytes, with '?' for every byte that is not printable ASCII: an escape sequence in
// it cannot reach the reader's terminal. Everything foreign that a message or a table shows goes through
// here.
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t limit = 300) {
  std::string result;
  for (const char c : text.substr(0, limit))
    result.push_back(c >= ' ' && c <= '~' ? c : '?');
  return result;
}

}  // namespace glassbox
