// The user's keys on their way to a guest's serial console (`glassbox run --console`): the terminal is raw,
// so that every key goes to the guest, except the escape key, Ctrl-], which leaves the console.
//
// Keys go through a pipe that the console reads. What a guest that does not read leaves no room for is
// dropped, so that the escape key always works.
//
// Thread: one; the pipe's other end is the console's.
#pragma once

#include <optional>

#include "vmm/base/io.h"
#include "vmm/base/result.h"
#include "vmm/client/terminal.h"

namespace glassbox::client {

inline constexpr char kEscapeKey = 0x1D;  // Ctrl-], as in telnet and virsh

class ConsoleKeys {
 public:
  // Makes the terminal raw until the object ends.
  [[nodiscard]] static Result<ConsoleKeys> create(int terminal);

  // To be polled for reading; then call pass_on(). -1 after the end of the input.
  [[nodiscard]] int fd() const { return terminal_; }
  // Where the console reads the keys.
  [[nodiscard]] int console_end() const { return pipe_.read.get(); }
  // Passes on what has been typed. False once the escape key was among it; what follows that key is dropped.
  [[nodiscard]] bool pass_on();
  // From now on keys are the terminal's again: Ctrl-C is a signal.
  void restore_terminal() { raw_.reset(); }

 private:
  ConsoleKeys(int terminal, RawTerminal raw, Pipe pipe)
      : terminal_(terminal), raw_(std::move(raw)), pipe_(std::move(pipe)) {}
  int terminal_;
  std::optional<RawTerminal> raw_;
  Pipe pipe_;
};

}  // namespace glassbox::client
