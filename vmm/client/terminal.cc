#include "vmm/client/terminal.h"

#include <sys/ioctl.h>

namespace glassbox::client {

std::optional<WindowSize> window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0) return std::nullopt;
  return WindowSize{size.ws_row, size.ws_col};
}

Result<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) < 0) return fail_errno(errno, "cannot read the terminal's settings");
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) < 0) return fail_errno(errno, "cannot set the terminal to raw mode");
  return RawTerminal(fd, saved);
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) ::tcsetattr(fd_, TCSADRAIN, &saved_);
}

}  // namespace glassbox::client
