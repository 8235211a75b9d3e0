// The devices that a guest can find only through ACPI, as AML: PCI host bridge, serial port, panic port, and
// \_S5.
#pragma once

#include "vmm/acpi/aml.h"

namespace glassbox::acpi {

// SLP_TYP of S5, which the guest writes to the sleep control port to power off.
inline constexpr std::uint8_t kSleepTypeS5 = 5;

[[nodiscard]] Aml dsdt_contents();

}  // namespace glassbox::acpi
