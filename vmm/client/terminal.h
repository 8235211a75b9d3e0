// The user's terminal while a guest's terminal is shown on it.
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

// Nothing where fd is no terminal.
[[nodiscard]] std::optional<WindowSize> window_size(int fd);

// Raw mode for as long as it lives: every key goes to the guest. Restores what was there on destruction;
// since the session takes its signals through a signalfd (session.h), there is no other way out of it but
// SIGKILL.
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
