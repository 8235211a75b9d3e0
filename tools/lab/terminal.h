// The caller's terminal: raw while a command in the lab uses it, restored afterwards in every case.
#pragma once

#include <termios.h>

#include <cstdint>
#include <utility>

namespace glassbox::lab {

class RawTerminal {
 public:
  // Makes fd raw if `wanted`, otherwise does nothing.
  RawTerminal(int fd, bool wanted);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();
  [[nodiscard]] bool active() const { return active_; }
  void again();  // makes it raw again, after the process was stopped and continued

 private:
  int fd_;
  bool active_ = false;
  termios saved_{};
};

// Bit n is set if descriptor n is a terminal that this process may use now (a background job may not read its
// stdin).
[[nodiscard]] std::uint32_t terminal_mask();
// Rows and columns of the first terminal among stdin, stdout, stderr; 24 x 80 if there is none.
[[nodiscard]] std::pair<std::uint32_t, std::uint32_t> window_size();

}  // namespace glassbox::lab
