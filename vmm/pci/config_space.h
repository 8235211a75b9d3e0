// The 256 bytes of a function's configuration space: plain registers, each bit read-only or writable, and the
// capability list (PCI 3.0, 6.1 and 6.7). The function decides what a write means (vmm/pci/function.h).
//
// Thread: not thread-safe; the PCI host serialises access.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace glassbox::pci {

// Register offsets and bits of a type 0 header, those that are used here.
inline constexpr unsigned kVendorId = 0x00;
inline constexpr unsigned kDeviceId = 0x02;
inline constexpr unsigned kCommand = 0x04;
inline constexpr unsigned kStatus = 0x06;
inline constexpr unsigned kRevision = 0x08;
inline constexpr unsigned kClassCode = 0x09;  // 3 bytes
inline constexpr unsigned kBar0 = 0x10;
inline constexpr unsigned kSubsystemVendorId = 0x2C;
inline constexpr unsigned kSubsystemId = 0x2E;
inline constexpr unsigned kCapabilityPointer = 0x34;
inline constexpr unsigned kFirstCapability = 0x40;

inline constexpr std::uint16_t kCommandMemory = 1U << 1;
inline constexpr std::uint16_t kCommandBusMaster = 1U << 2;
inline constexpr std::uint16_t kCommandIntxDisable = 1U << 10;
inline constexpr std::uint16_t kStatusCapabilities = 1U << 4;

inline constexpr std::uint8_t kCapabilityVendor = 0x09;
inline constexpr std::uint8_t kCapabilityMsix = 0x11;

class ConfigSpace {
 public:
  static constexpr std::size_t kSize = 256;

  // Reads and writes of any alignment; bytes beyond the end read as zero and are not written.
  void read(unsigned offset, std::span<std::uint8_t> data) const;
  void write(unsigned offset, std::span<const std::uint8_t> data);  // as the guest: writable bits only

  // As the device: any bit. T is an unsigned integer, little endian.
  template <typename T>
  void set(unsigned offset, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.at(offset + i) = static_cast<std::uint8_t>(value >> (8 * i));
  }
  template <typename T>
  [[nodiscard]] T get(unsigned offset) const {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<T>(value | static_cast<T>(T{bytes_.at(offset + i)} << (8 * i)));
    return value;
  }
  template <typename T>
  void set_writable(unsigned offset, T bits) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      writable_.at(offset + i) = static_cast<std::uint8_t>(bits >> (8 * i));
  }

  // Appends a capability whose bytes after the id and the next pointer are `body`. Returns its offset.
  // Asserts that it fits.
  unsigned add_capability(std::uint8_t id, std::span<const std::uint8_t> body);

 private:
  std::array<std::uint8_t, kSize> bytes_{};
  std::array<std::uint8_t, kSize> writable_{};
  unsigned next_capability_ = kFirstCapability;
  unsigned last_pointer_ = kCapabilityPointer;  // where the next capability's offset goes
};

}  // namespace glassbox::pci
