#include "tools/bench/process/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace glassbox::bench {

namespace {

// Progress that nobody reads any more is no reason to end.
template <typename... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  const std::string line = fmt::format(text, std::forward<Args>(args)...);
  (void)!std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::note(std::string_view text) {
  clear();
  say("glassbox-bench: {}\n", text);
}

void Progress::stage(std::string_view text) {
  stage_ = text;
  if (terminal_) {
    say("\r\033[K{} ...", stage_);
    shown_ = true;
  } else {
    say("glassbox-bench: {}\n", stage_);
  }
  std::fflush(stderr);
}

void Progress::detail(std::string_view text) {
  if (!terminal_) return;
  say("\r\033[K{}: {}", stage_, text);
  shown_ = true;
  std::fflush(stderr);
}

void Progress::count(std::uint64_t done, std::uint64_t total) {
  if (!terminal_) return;
  say("\r\033[K{} {} of {}", stage_, std::min(done, total), total);
  shown_ = true;
  std::fflush(stderr);
}

void Progress::clear() {
  if (!shown_) return;
  say("\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace glassbox::bench
