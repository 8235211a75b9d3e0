#include "vmm/devices/power.h"

#include <algorithm>

#include "vmm/acpi/dsdt.h"
#include "vmm/platform/layout.h"

namespace glassbox::devices {
namespace {

constexpr std::uint8_t kSleepEnable = 1 << 5;
constexpr unsigned kSleepTypeShift = 2;
constexpr std::uint8_t kSleepTypeMask = 7;
constexpr std::uint8_t kPulseReset = 0xFE;
constexpr std::uint8_t kPanicked = 1;

}  // namespace

void PowerPorts::io_read(unsigned /*vcpu*/, std::uint64_t /*offset*/, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
}

void PowerPorts::io_write(unsigned /*vcpu*/, std::uint64_t offset, std::span<const std::uint8_t> data) {
  if (data.size() != 1) return;
  const std::uint8_t value = data[0];
  if (offset == 0 && (value & kSleepEnable) != 0 &&
      ((value >> kSleepTypeShift) & kSleepTypeMask) == acpi::kSleepTypeS5) {
    services_.request_power_off();
  }
  if (offset == layout::kResetPort - layout::kSleepControlPort && value == layout::kResetValue) {
    services_.request_reset();
  }
}

void KeyboardReset::io_read(unsigned /*vcpu*/, std::uint64_t /*offset*/, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
}

void KeyboardReset::io_write(unsigned /*vcpu*/, std::uint64_t /*offset*/,
                             std::span<const std::uint8_t> data) {
  if (data.size() == 1 && data[0] == kPulseReset) services_.request_reset();
}

void PanicPort::io_read(unsigned /*vcpu*/, std::uint64_t /*offset*/, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), kPanicked);
}

void PanicPort::io_write(unsigned /*vcpu*/, std::uint64_t /*offset*/, std::span<const std::uint8_t> data) {
  if ((data[0] & kPanicked) != 0) on_panic_();
}

}  // namespace glassbox::devices
