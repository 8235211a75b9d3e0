// Addresses as people write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/inet.h"

namespace glassbox::net {

// Either family, without a zone; nothing if it is no address.
[[nodiscard]] std::optional<IpAddress> ip_from_text(std::string_view text);
[[nodiscard]] std::string to_text(const IpAddress& address);
// "192.0.2.1:80", "[2001:db8::1]:80"
[[nodiscard]] std::string to_text(const IpAddress& address, std::uint16_t port);

}  // namespace glassbox::net
