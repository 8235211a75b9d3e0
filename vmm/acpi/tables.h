// The ACPI tables of the machine: RSDP, XSDT, FADT, MADT, DSDT (ACPI 6.4, chapter 5).
//
// The machine is "hardware-reduced": no PM1 registers, no SCI, no PM timer, no legacy interrupt controller or
// timer for the kernel to probe and calibrate. Power-off and reset are one byte-wide port each. The FADT says
// that there is no 8042, no VGA and no CMOS clock; without that last bit Linux spins for half a minute.
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::acpi {

// The bytes for layout::kAcpiTables; the RSDP is first.
[[nodiscard]] std::vector<std::uint8_t> build_tables(unsigned vcpus);

// Writes them and returns the address of the RSDP.
[[nodiscard]] Result<GuestPhysAddr> write_tables(unsigned vcpus, const GuestMemory& memory);

}  // namespace glassbox::acpi
