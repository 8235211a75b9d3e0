// Recognises "Kernel panic - not syncing: ..." in the text of a serial console.
//
// It alone ends nothing, since any program in the guest may print that line; but it says what a reset that
// follows was about. (pvpanic says it for certain, where the guest has loaded that driver.)
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace glassbox::devices {

class PanicWatch {
 public:
  void feed(std::span<const std::uint8_t> output);
  // The rest of the line, e.g. "VFS: Unable to mount root fs"; empty if there was none.
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  void end_line();

  std::string line_;  // bounded
  std::string message_;
};

}  // namespace glassbox::devices
