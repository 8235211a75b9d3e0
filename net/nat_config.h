// What a user may choose about the NAT, and how it is written on a command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "net/inet.h"
#include "net/poll_policy.h"
#include "vmm/base/result.h"

namespace glassbox::net {

struct Cidr {
  Ipv4 network = 0;
  unsigned prefix = 32;
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

// A port of the host whose connections, or datagrams, go to a port of the guest.
struct PublishedPort {
  Ipv4 address = ipv4(127, 0, 0, 1);  // where the host listens
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  bool udp = false;
  friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};

// Link-local: on many hosts a cloud's metadata service, which hands out credentials.
inline constexpr Cidr kLinkLocal = {ipv4(169, 254, 0, 0), 16};

struct NatConfig {
  bool allow_host_loopback = false;
  std::uint16_t mtu = 1500;                        // IP bytes; 65520 at most
  std::vector<std::uint16_t> loopback_ports = {};  // of those that are allowed; none named: all
  std::vector<Cidr> deny = {kLinkLocal};
  std::optional<Ipv4> dns = std::nullopt;  // what 10.0.2.3 stands for; else the host's own
  std::vector<PublishedPort> publish = {};
  PollConfig poll = {};  // for whoever makes the loop the NAT runs on
};

// "A.B.C.D/N", or an address alone. Bits beyond the prefix must be 0: a slip would deny another network.
[[nodiscard]] Result<Cidr> parse_cidr(std::string_view text);
[[nodiscard]] Result<Ipv4> parse_ipv4_address(std::string_view text);
// "80,443,8080"
[[nodiscard]] Result<std::vector<std::uint16_t>> parse_ports(std::string_view text);
// "[ADDRESS:]HOSTPORT:PORT[/udp]"
[[nodiscard]] Result<PublishedPort> parse_published(std::string_view text);

}  // namespace glassbox::net
