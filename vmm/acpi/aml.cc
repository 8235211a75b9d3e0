#include "vmm/acpi/aml.h"

#include <algorithm>
#include <cassert>

namespace glassbox::acpi {
namespace {

// Opcodes (20.2).
constexpr std::uint8_t kZero = 0x00;
constexpr std::uint8_t kOne = 0x01;
constexpr std::uint8_t kName = 0x08;
constexpr std::uint8_t kByte = 0x0A;
constexpr std::uint8_t kWord = 0x0B;
constexpr std::uint8_t kDword = 0x0C;
constexpr std::uint8_t kString = 0x0D;
constexpr std::uint8_t kQword = 0x0E;
constexpr std::uint8_t kScope = 0x10;
constexpr std::uint8_t kBuffer = 0x11;
constexpr std::uint8_t kPackage = 0x12;
constexpr std::uint8_t kExtended = 0x5B;
constexpr std::uint8_t kDevice = 0x82;

// Resource descriptor tags (6.4).
constexpr std::uint8_t kIrqTag = 0x22;
constexpr std::uint8_t kIoTag = 0x47;
constexpr std::uint8_t kEndTag = 0x79;
constexpr std::uint8_t kDwordWindowTag = 0x87;
constexpr std::uint8_t kWordWindowTag = 0x88;
constexpr std::uint8_t kMinAndMaxFixed =
    0x0C;  // with bit 0 clear: a producer, the range is behind the bridge

void append(Aml& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i)
    out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

Aml name_segment(std::string_view text) {
  assert(text.size() >= 1 && text.size() <= 4);
  Aml out(text.begin(), text.end());
  out.resize(4, '_');
  return out;
}

// PkgLength (20.2.4) includes its own bytes; the shortest form that fits.
Aml with_length(const Aml& contents) {
  Aml out;
  if (contents.size() + 1 < 0x40) {
    out.push_back(static_cast<std::uint8_t>(contents.size() + 1));
  } else {
    const unsigned more = contents.size() + 2 < 0x1000 ? 1 : 2;
    const std::size_t total = contents.size() + 1 + more;
    assert(total < 0x10'0000);
    out.push_back(static_cast<std::uint8_t>((more << 6) | (total & 0xF)));
    append(out, total >> 4, more);
  }
  return out + contents;
}

Aml address_window(std::uint8_t tag, std::uint8_t type, std::uint8_t type_flags, std::uint32_t base,
                   std::uint32_t size) {
  const unsigned width = tag == kWordWindowTag ? 2 : 4;
  Aml out = {tag};
  append(out, 3 + 5 * width, 2);
  out.push_back(type);
  out.push_back(kMinAndMaxFixed);
  out.push_back(type_flags);
  append(out, 0, width);  // granularity
  append(out, base, width);
  append(out, base + (size - 1), width);
  append(out, 0, width);  // translation
  append(out, size, width);
  return out;
}

}  // namespace

Aml operator+(const Aml& left, const Aml& right) {
  Aml out(left.size() + right.size());
  std::copy(right.begin(), right.end(), std::copy(left.begin(), left.end(), out.begin()));
  return out;
}

Aml integer(std::uint64_t value) {
  if (value == 0) return {kZero};
  if (value == 1) return {kOne};
  const unsigned bytes = value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFF'FFFF ? 4 : 8;
  Aml out = {bytes == 1 ? kByte : bytes == 2 ? kWord : bytes == 4 ? kDword : kQword};
  append(out, value, bytes);
  return out;
}

Aml string(std::string_view text) {
  return Aml{kString} + Aml(text.begin(), text.end()) + Aml{0};
}

// Three letters of five bits each, four hexadecimal digits, big-endian (EISAID of 19.6.36).
Aml eisa_id(std::string_view id) {
  assert(id.size() == 7);
  const auto letter = [&](std::size_t i) { return static_cast<std::uint32_t>(id[i] - 0x40) & 0x1F; };
  const auto digit = [&](std::size_t i) {
    return static_cast<std::uint32_t>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
  };
  const std::uint32_t value = (letter(0) << 26) | (letter(1) << 21) | (letter(2) << 16) | (digit(3) << 12) |
                              (digit(4) << 8) | (digit(5) << 4) | digit(6);
  Aml out = {kDword};
  append(out, __builtin_bswap32(value), 4);
  return out;
}

Aml package(std::initializer_list<Aml> elements) {
  Aml contents = {static_cast<std::uint8_t>(elements.size())};
  for (const Aml& element : elements)
    contents = contents + element;
  return Aml{kPackage} + with_length(contents);
}

Aml name(std::string_view name, const Aml& value) {
  return Aml{kName} + name_segment(name) + value;
}
Aml scope(std::string_view name, const Aml& contents) {
  return Aml{kScope} + with_length(name_segment(name) + contents);
}
Aml device(std::string_view name, const Aml& contents) {
  return Aml{kExtended, kDevice} + with_length(name_segment(name) + contents);
}

Aml resource_template(const Aml& descriptors) {
  const Aml bytes = descriptors + Aml{kEndTag, 0};  // checksum 0: not checked
  return Aml{kBuffer} + with_length(integer(bytes.size()) + bytes);
}

Aml io_ports(std::uint16_t base, std::uint8_t size) {
  Aml out = {kIoTag, 0x01};  // 16-bit decode
  append(out, base, 2);
  append(out, base, 2);
  out.push_back(1);  // alignment
  out.push_back(size);
  return out;
}

Aml irq(unsigned line) {
  assert(line < 16);
  Aml out = {kIrqTag};
  append(out, 1U << line, 2);
  return out;
}

Aml bus_window(std::uint16_t first, std::uint16_t last) {
  return address_window(kWordWindowTag, 2, 0, first, std::uint32_t{last} - first + 1);
}
Aml io_window(std::uint16_t base, std::uint32_t size) {
  return address_window(kWordWindowTag, 1, 0x03, base, size);  // the entire range
}
Aml memory_window(std::uint32_t base, std::uint32_t size) {
  return address_window(kDwordWindowTag, 0, 0x01, base, size);  // read-write, not cacheable
}

}  // namespace glassbox::acpi
