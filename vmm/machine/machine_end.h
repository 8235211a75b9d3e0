// How a machine ended.
#pragma once

#include <string>

namespace glassbox {

struct MachineEnd {
  enum class Kind {
    kStopped,     // Machine::stop()
    kPoweredOff,  // the guest powered off (ACPI S5)
    kReset,       // the guest asked for a reset; we do not reboot machines
    kPanic,       // the guest's kernel panicked
    kError,       // a triple fault, or KVM could not go on
  };
  Kind kind = Kind::kStopped;
  std::string message;  // for people: "the guest's kernel panicked: VFS: Unable to mount root fs"
};

}  // namespace glassbox
