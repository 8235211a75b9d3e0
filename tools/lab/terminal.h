// The caller's terminal: raw while a command in the lab uses it, and surely restored.
#pragma once

#include <termios.h>

#include <cstdint>
#include <utility>

namespace glassbox::lab {

class RawTerminal {
 public:
  // Makes fd raw where `wanted`; otherwise does nothing.
  RawTerminal(int fd, bool wanted);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();
  [[nodiscard]] bool active() const { return active_; }
  void again();  // after the process was stopped and continued

 private:
  int fd_;
  bool active_ = false;
  termios saved_{};
};

// Bit n is set where descriptor n is a terminal that this process may use now (a background job's stdin is
// not).
[[nodiscard]] std::uint32_t terminal_mask();
// Rows and columns of the first terminal among stdin, stdout, stderr; 24 x 80 without one.
[[nodiscard]] std::pair<std::uint32_t, std::uint32_t> window_size();

}  // namespace glassbox::lab
