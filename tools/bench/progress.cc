#include "tools/bench/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace glassbox::bench {

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::stage(std::string_view text) {
  stage_ = text;
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{} ...", stage_);
    shown_ = true;
  } else {
    fmt::print(stderr, "glassbox-bench: {}\n", stage_);
  }
  std::fflush(stderr);
}

void Progress::detail(std::string_view text) {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K{}: {}", stage_, text);
  shown_ = true;
  std::fflush(stderr);
}

void Progress::count(std::uint64_t done, std::uint64_t total) {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K{} {} of {}", stage_, std::min(done, total), total);
  shown_ = true;
  std::fflush(stderr);
}

void Progress::clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace glassbox::bench
