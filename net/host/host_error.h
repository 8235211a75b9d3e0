// ICMP errors about datagrams that a host socket sent, from the socket's error queue (IP_RECVERR, ip(7);
// IPV6_RECVERR, ipv6(7)).
#pragma once

#include <cstdint>
#include <span>

#include "net/inet.h"

namespace glassbox::net {

struct HostError {
  std::uint8_t type = 0;  // of the ICMP or ICMPv6 message
  std::uint8_t code = 0;
  std::uint32_t info = 0;  // the next hop's MTU, if the message is about that
  IpAddress offender;      // the sender of the message
  IpAddress destination;   // where the datagram was to go
  std::uint16_t port = 0;
  std::size_t quoted = 0;  // quoted bytes: from behind the UDP header on, or from the ICMP header on
};

// Switches the error queue on or off. Without it the kernel reports errors by errno alone.
void queue_host_errors(int fd, bool v6, bool wanted = true);

// Takes the next message off the queue and copies the quoted bytes into `quotation`. False if there is none.
[[nodiscard]] bool take_host_error(int fd, std::span<std::uint8_t> quotation, HostError& error);

}  // namespace glassbox::net
