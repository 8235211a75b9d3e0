#include "vmm/boot/bzimage.h"

namespace glassbox::boot {
namespace {

// Offsets of the setup header, from the start of the file.
constexpr std::uint64_t kSetupSectors = 0x1F1;   // u8, 0 means 4
constexpr std::uint64_t kSystemSize = 0x1F4;     // u32, protected-mode code in units of 16 bytes
constexpr std::uint64_t kMagic = 0x202;          // "HdrS"
constexpr std::uint64_t kVersion = 0x206;        // u16
constexpr std::uint64_t kPayloadOffset = 0x248;  // u32, from the start of the protected-mode code
constexpr std::uint64_t kPayloadLength = 0x24C;  // u32

constexpr std::uint32_t kHdrS = 0x5372'6448;
constexpr std::uint16_t kVersionWithPayload = 0x0208;
constexpr std::uint64_t kSector = 512;

}  // namespace

bool is_bzimage(ByteView image) {
  return load<std::uint32_t>(image, kMagic) == kHdrS;
}

Result<ByteView> bzimage_payload(ByteView image) {
  const auto sectors = load<std::uint8_t>(image, kSetupSectors);
  const auto system_size = load<std::uint32_t>(image, kSystemSize);
  const auto version = load<std::uint16_t>(image, kVersion);
  const auto offset = load<std::uint32_t>(image, kPayloadOffset);
  const auto length = load<std::uint32_t>(image, kPayloadLength);
  if (!is_bzimage(image) || !sectors || !system_size || !version || !offset || !length) {
    return fail("truncated within the bzImage setup header");
  }
  if (*version < kVersionWithPayload) {
    return fail("bzImage of boot protocol {}.{:02}; 2.08 or later is needed", *version >> 8, *version & 0xFF);
  }
  const std::uint64_t code = (std::uint64_t{*sectors == 0 ? std::uint8_t{4} : *sectors} + 1) * kSector;
  const std::uint64_t whole = code + std::uint64_t{*system_size} * 16;
  if (image.size() < whole) {
    return fail("truncated: {} bytes of {} announced in its header", image.size(), whole);
  }
  const auto payload = part(image, code + *offset, *length);
  if (!payload) return fail("the bzImage header places the compressed kernel outside of the file");
  return *payload;
}

}  // namespace glassbox::boot
