#include "tools/lab/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace glassbox::lab {

RawTerminal::RawTerminal(int fd, bool wanted) : fd_(fd) {
  if (!wanted || ::tcgetattr(fd_, &saved_) != 0) return;
  active_ = true;
  again();
}

RawTerminal::~RawTerminal() {
  if (active_) ::tcsetattr(fd_, TCSADRAIN, &saved_);
}

void RawTerminal::again() {
  if (!active_) return;
  termios raw = saved_;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd_, TCSADRAIN, &raw);
}

std::uint32_t terminal_mask() {
  std::uint32_t mask = 0;
  for (int fd = 0; fd < 3; ++fd) {
    if (::isatty(fd) == 1) mask |= 1u << fd;
  }
  if ((mask & 1u) != 0 && ::tcgetpgrp(0) != ::getpgrp()) mask &= ~1u;
  return mask;
}

std::pair<std::uint32_t, std::uint32_t> window_size() {
  winsize size{};
  for (int fd = 0; fd < 3; ++fd) {
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row != 0) return {size.ws_row, size.ws_col};
  }
  return {24, 80};
}

}  // namespace glassbox::lab
