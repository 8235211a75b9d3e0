// The ports through which a guest ends the machine: ACPI sleep and reset registers, the 8042's reset line,
// pvpanic.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "vmm/platform/services.h"

namespace glassbox::devices {

// layout::kSleepControlPort, kSleepStatusPort, kResetPort: one block of three ports (ACPI 6.4, 4.8.3.7).
class PowerPorts : public IoHandler {
 public:
  explicit PowerPorts(VmServices& services) : services_(services) {}
  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override;

 private:
  VmServices& services_;
};

// Port 0x64 of a PC without a keyboard: status 0, and command 0xFE pulses the reset line. Kernels use it
// if they find no other way to reset.
class KeyboardReset : public IoHandler {
 public:
  explicit KeyboardReset(VmServices& services) : services_(services) {}
  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override;

 private:
  VmServices& services_;
};

// QEMU's pvpanic (docs/specs/pvpanic): a read gives the supported events, a write reports one.
class PanicPort : public IoHandler {
 public:
  explicit PanicPort(std::function<void()> on_panic) : on_panic_(std::move(on_panic)) {}
  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override;

 private:
  const std::function<void()> on_panic_;
};

}  // namespace glassbox::devices
