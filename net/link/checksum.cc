#include "net/link/checksum.h"

#include <bit>
#include <cstring>

namespace glassbox::net {
namespace {

static_assert(std::endian::native == std::endian::little);

std::uint16_t fold(std::uint64_t sum) {
  while (sum > 0xffff)
    sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

// Sums native 32-bit words; the one's complement sum does not mind the byte order, only the result is
// swapped.
std::uint16_t native_sum(const std::uint8_t* p, std::size_t n) {
  std::uint64_t sum = 0;
  while (n >= 16) {
    std::uint32_t words[4];
    std::memcpy(words, p, 16);
    sum += std::uint64_t{words[0]} + words[1] + words[2] + words[3];
    p += 16;
    n -= 16;
  }
  while (n >= 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, p, 2);
    sum += word;
    p += 2;
    n -= 2;
  }
  if (n != 0) sum += *p;
  return fold(sum);
}

}  // namespace

void Checksum::add(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return;
  std::uint16_t part = native_sum(bytes.data(), bytes.size());
  if (!odd_) part = static_cast<std::uint16_t>((part << 8) | (part >> 8));
  sum_ += part;
  if (bytes.size() % 2 != 0) odd_ = !odd_;
}

void Checksum::add(std::span<const iovec> pieces) {
  for (const iovec& piece : pieces) {
    add(std::span(static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len));
  }
}

void Checksum::add_be16(std::uint16_t value) {
  sum_ += odd_ ? static_cast<std::uint16_t>((value << 8) | (value >> 8)) : value;
}

void Checksum::add_pseudo_header(Ipv4 source, Ipv4 destination, std::uint8_t protocol, std::size_t length) {
  sum_ +=
      (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + protocol + length;
}

// The prefix ::ffff of a mapped address adds 0xffff, which is 0 in one's complement: one sum serves both
// families.
void Checksum::add_pseudo_header(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                                 std::size_t length) {
  for (const std::uint64_t half : {source.hi, source.lo, destination.hi, destination.lo}) {
    sum_ += (half >> 32) + (half & 0xffff'ffff);
  }
  sum_ += protocol + length;
}

std::uint16_t Checksum::partial() const {
  return fold(sum_);
}

}  // namespace glassbox::net
