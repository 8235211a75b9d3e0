// The Internet checksum (RFC 1071), as a running sum: headers and payload pieces are added one after another.
// Pure.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/inet.h"

namespace glassbox::net {

class Checksum {
 public:
  // Pieces may have any length: an odd one shifts what follows by a byte.
  void add(std::span<const std::uint8_t> bytes);
  void add(std::span<const iovec> pieces);
  void add_be16(std::uint16_t value);
  // The pseudo-header of TCP and UDP over IPv4 (RFC 9293, 3.1). length: transport header and payload, bytes.
  void add_pseudo_header(Ipv4 source, Ipv4 destination, std::uint8_t protocol, std::size_t length);
  // The pseudo-header of the addresses' family; for IPv6 see RFC 8200, 8.1.
  void add_pseudo_header(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                         std::size_t length);

  // The sum, not complemented: what a NEEDS_CSUM frame carries for the pseudo-header.
  [[nodiscard]] std::uint16_t partial() const;
  // The value of a checksum field. Over data that contains a correct checksum it is 0.
  [[nodiscard]] std::uint16_t value() const { return static_cast<std::uint16_t>(~partial()); }

 private:
  std::uint64_t sum_ = 0;  // of big-endian 16-bit words
  bool odd_ = false;
};

}  // namespace glassbox::net
