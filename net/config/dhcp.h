// The DHCP server of the guest's network (RFC 2131, RFC 2132): one client, one address, which is always the
// same. No state: whatever the client asks, the answer follows from its message alone.
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
  // RFC 951's smallest message plus room for our options: old clients expect no less than 300 bytes.
  std::array<std::uint8_t, 320> message{};
  Ipv4 destination = 0;  // the client's address, or all ones
};

enum class DhcpOutcome : std::uint8_t {
  kReply,
  kNoReply,    // well-formed, and nothing is to be said: decline, release, a request to another server
  kMalformed,  // not a client's message, or its fields contradict each other
};

// request: the UDP payload, in a private copy.
[[nodiscard]] DhcpOutcome answer_dhcp(std::span<const std::uint8_t> request, std::uint16_t mtu,
                                      DhcpReply& reply);

}  // namespace glassbox::net
