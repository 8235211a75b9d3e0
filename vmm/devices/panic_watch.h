// Recognises "Kernel panic - not syncing: ..." in the text of a serial console.
//
// Any program in the guest may print that line, so it never ends the machine; it only explains a reset that
// follows. (pvpanic is certain, if the guest has loaded that driver.)
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
