// The user's terminal while it shows a terminal of the guest.
#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>

#include "vmm/base/result.h"

namespace glassbox::client {

struct WindowSize {
  std::uint16_t rows = 24;
  std::uint16_t cols = 80;
};

// Nothing if fd is not a terminal.
[[nodiscard]] std::optional<WindowSize> window_size(int fd);

// Raw mode while this object lives: every key goes to the guest. The destructor restores the settings. A
// session takes its signals through a signalfd (session.h), so that only SIGKILL can prevent it.
class RawTerminal {
 public:
  [[nodiscard]] static Result<RawTerminal> enter(int fd);
  RawTerminal(RawTerminal&& other) noexcept : fd_(other.fd_), saved_(other.saved_) { other.fd_ = -1; }
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

}  // namespace glassbox::client
