// How a machine ended.
#pragma once

#include <string>

namespace glassbox {

struct MachineEnd {
  enum class Kind {
    kStopped,     // Machine::stop()
    kPoweredOff,  // the guest powered off (ACPI S5)
    kReset,       // the guest asked for a reset; glassbox does not reboot machines
    kPanic,       // the guest's kernel panicked
    kError,       // a triple fault, or KVM cannot run the guest any further
  };
  Kind kind = Kind::kStopped;
  std::string message;  // for people: "the guest's kernel panicked: VFS: Unable to mount root fs"
};

}  // namespace glassbox
