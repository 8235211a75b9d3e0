// Where everything sits in guest physical and port space. The one place for these numbers: the ACPI tables,
// the memory map handed to the kernel and the devices all take them from here.
//
//   physical                              ports
//   0000_0000  low RAM, boot structures   0064        8042: only its reset line
//   000e_0000  ACPI tables (reserved)     03f8..03ff  COM1, IRQ 4
//   0010_0000  RAM up to the hole         0505        pvpanic (ACPI QEMU0001)
//   c000_0000  PCI memory BARs            0600..0602  ACPI sleep control, sleep status, reset
//   fec0_0000  I/O APIC                   0cf8..0cff  PCI configuration mechanism #1
//   fee0_0000  local APICs                c000..ffff  PCI I/O BARs
//   1_0000_0000 RAM above the hole
//
// PCI configuration space is reached by mechanism #1 only: a port access needs no instruction decoding in
// KVM, and a kernel that finds mechanism #1 uses it for the first 256 bytes even where ECAM exists. There is
// one bus, functions interrupt by MSI-X only (interrupt pin 0), so there is no _PRT.
#pragma once

#include <cstdint>

#include "vmm/platform/guest_memory.h"

namespace glassbox::layout {

// Boot structures, all below 640 KiB, in RAM the kernel may reuse once it has read them.
inline constexpr GuestPhysAddr kPvhStartInfo = 0x6000;
inline constexpr GuestPhysAddr kZeroPage = 0x7000;
inline constexpr GuestPhysAddr kBootGdt = 0x8000;
inline constexpr GuestPhysAddr kBootPageTables = 0x9000;  // PML4, PDPT, 4 page directories
inline constexpr GuestPhysAddr kCommandLine = 0x20000;
inline constexpr std::uint32_t kCommandLineMax = 2048;  // COMMAND_LINE_SIZE of x86, with its NUL
inline constexpr GuestPhysAddr kLowRamEnd = 0xA0000;
inline constexpr GuestPhysAddr kAcpiTables = 0xE0000;  // the RSDP first, where a kernel also looks by itself
inline constexpr GuestPhysAddr kAcpiTablesEnd = 0x100000;
inline constexpr GuestPhysAddr kHighRamStart = 0x100000;

// PCI. The host bridge's register blocks are mapped by the PCI bus itself through VmServices.
inline constexpr std::uint16_t kPciConfigAddressPort = 0xCF8;  // 4 bytes
inline constexpr std::uint16_t kPciConfigDataPort = 0xCFC;     // 4 bytes
inline constexpr GuestPhysAddr kPciMemBase = GuestMemory::kHoleStart;
inline constexpr std::uint64_t kPciMemSize = 0x2000'0000;  // 512 MiB of 32-bit BARs
inline constexpr std::uint16_t kPciIoBase = 0xC000;
inline constexpr std::uint32_t kPciIoSize = 0x4000;

// Interrupt controllers, in KVM.
inline constexpr GuestPhysAddr kIoApic = 0xFEC0'0000;
inline constexpr unsigned kIoApicPins = 24;
inline constexpr GuestPhysAddr kLocalApic = 0xFEE0'0000;
// Three pages and one that KVM wants for real mode on old VMX; never RAM, never a BAR.
inline constexpr GuestPhysAddr kIdentityMapPage = 0xFEFF'C000;
inline constexpr GuestPhysAddr kTaskStatePages = 0xFEFF'D000;

// Platform devices.
inline constexpr std::uint16_t kKeyboardResetPort = 0x64;
inline constexpr std::uint16_t kSerialPort = 0x3F8;  // 8 ports
inline constexpr unsigned kSerialIrq = 4;
inline constexpr std::uint16_t kPvpanicPort = 0x505;
inline constexpr std::uint16_t kSleepControlPort = 0x600;
inline constexpr std::uint16_t kSleepStatusPort = 0x601;
inline constexpr std::uint16_t kResetPort = 0x602;
inline constexpr std::uint8_t kResetValue = 0x01;

inline constexpr unsigned kMaxVcpus = 64;

}  // namespace glassbox::layout
