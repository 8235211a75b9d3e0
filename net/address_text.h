// Addresses as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/inet.h"

namespace glassbox::net {

// Reads an address of either family, without a zone. Nothing if the text is not an address.
[[nodiscard]] std::optional<IpAddress> ip_from_text(std::string_view text);
[[nodiscard]] std::string to_text(const IpAddress& address);
// "192.0.2.1:80", "[2001:db8::1]:80"
[[nodiscard]] std::string to_text(const IpAddress& address, std::uint16_t port);

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
// Reads what to_text(address, port) writes: an IPv6 address in brackets, a port from 0 to 65535.
[[nodiscard]] std::optional<Endpoint> endpoint_from_text(std::string_view text);

}  // namespace glassbox::net
