// The DHCP server of the guest's network (RFC 2131, RFC 2132): one client, which always gets the same
// address. There is no state: the answer follows from the client's message alone. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "net/inet.h"

namespace glassbox::net {

inline constexpr std::uint16_t kDhcpServerPort = 67;
inline constexpr std::uint16_t kDhcpClientPort = 68;

struct DhcpReply {
  // Room for the fixed part and all options. Old clients expect at least the 300 bytes of RFC 951.
  std::array<std::uint8_t, 320> message{};
  Ipv4 destination = 0;  // the client's address, or all ones
};

enum class DhcpOutcome : std::uint8_t {
  kReply,
  kNoReply,    // well-formed and without an answer: decline, release, a request to another server
  kMalformed,  // not a client's message, or its fields contradict each other
};

// request: a private copy of the UDP payload. mtu: for the client's option 26.
[[nodiscard]] DhcpOutcome answer_dhcp(std::span<const std::uint8_t> request, std::uint16_t mtu,
                                      DhcpReply& reply);

}  // namespace glassbox::net
