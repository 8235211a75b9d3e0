#include "vmm/boot/bzimage.h"

#include <algorithm>
#include <cstddef>

namespace glassbox::boot {
namespace {

constexpr std::uint64_t kHeader = 0x1F1;      // offset of the setup header in the file
constexpr std::uint64_t kJumpTarget = 0x201;  // u8: distance from 0x202 to the end of the header
constexpr std::uint64_t kMagic = 0x202;
constexpr std::uint32_t kHdrS = 0x5372'6448;
constexpr std::uint16_t kVersionWith64BitEntry = 0x020C;  // has xloadflags
constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kMaxAddress = 1ULL << 40;

static_assert(offsetof(setup_header, header) == kMagic - kHeader);

}  // namespace

bool is_bzimage(ByteView head) {
  return load<std::uint32_t>(head, kMagic) == kHdrS;
}

Result<BzImage> parse_bzimage(ByteView head, std::uint64_t file_size) {
  const auto jump = load<std::uint8_t>(head, kJumpTarget);
  const std::uint64_t size =
      std::min<std::uint64_t>(kMagic + jump.value_or(0) - kHeader, sizeof(setup_header));
  const auto bytes = part(head, kHeader, size);
  if (!is_bzimage(head) || !jump || !bytes) return fail("truncated within the bzImage setup header");
  BzImage image;
  std::memcpy(&image.header, bytes->data(), bytes->size());
  const setup_header& header = image.header;
  if (header.version < kVersionWith64BitEntry || (header.xloadflags & XLF_KERNEL_64) == 0) {
    return fail("a bzImage of boot protocol {}.{:02} without a 64-bit entry", header.version >> 8,
                header.version & 0xFF);
  }
  const std::uint64_t sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  image.code_offset = (sectors + 1) * kSector;
  image.code_size = std::uint64_t{header.syssize} * 16;
  if (image.code_size == 0 || file_size < image.code_offset + image.code_size) {
    return fail("truncated: {} bytes of {} announced in its header", file_size,
                image.code_offset + image.code_size);
  }
  image.address = header.pref_address;
  image.memory_size = std::max<std::uint64_t>(header.init_size, image.code_size);
  if (image.address > kMaxAddress) return fail("damaged: its load address is {:#x}", image.address);
  return image;
}

}  // namespace glassbox::boot
