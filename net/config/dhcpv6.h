// Stateless DHCPv6 (RFC 8415, 6.1): a request for information is answered with the name server's address.
// Addresses come from the router's advertisement, so requests for them are not answered. There is no state.
// Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "net/config/dhcp.h"
#include "net/inet.h"

namespace glassbox::net {

inline constexpr std::uint16_t kDhcp6ClientPort = 546;
inline constexpr std::uint16_t kDhcp6ServerPort = 547;
inline constexpr IpAddress kDhcp6Servers = {0xff02'0000'0000'0000, 0x1'0002};  // ff02::1:2, RFC 8415, 7.1

struct Dhcp6Reply {
  std::array<std::uint8_t, 256> message;
  std::size_t bytes = 0;
};

// request: a private copy of the UDP payload. The reply goes to the sender.
[[nodiscard]] DhcpOutcome answer_dhcp6(std::span<const std::uint8_t> request, Dhcp6Reply& reply);

}  // namespace glassbox::net
