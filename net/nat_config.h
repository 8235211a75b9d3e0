// The NAT's options, and how they are written on a command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/inet.h"
#include "net/loop/poll_policy.h"
#include "vmm/base/result.h"

namespace glassbox::net {

struct Cidr {
  IpAddress network;
  unsigned prefix = 128;  // of 128 bits, for IPv4 too
  [[nodiscard]] static constexpr Cidr v4(Ipv4 network, unsigned prefix) {
    return {IpAddress::from_v4(network), prefix + 96};
  }
  [[nodiscard]] constexpr bool contains(const IpAddress& address) const {
    return address.is_v4() == network.is_v4() && in_net(address, network, prefix);  // ::/0 is not 0.0.0.0/0
  }
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

// A port of the host whose connections or datagrams go to a port of the guest.
struct PublishedPort {
  IpAddress address = IpAddress::from_v4(ipv4(127, 0, 0, 1));  // where the host listens
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  bool udp = false;
  friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};
// Where the host listens, for messages: "127.0.0.1:8080", "[::1]:53/udp".
[[nodiscard]] std::string host_side_of(const PublishedPort& port);

// Link-local addresses: in many clouds they reach a metadata service, which hands out credentials. Then the
// addresses of the same service over IPv6: Amazon (fd00:ec2::/32), Google (fd20:ce::254), Scaleway
// (fd00:42::42).
inline constexpr std::array<Cidr, 5> kDeniedByDefault = {
    Cidr::v4(ipv4(169, 254, 0, 0), 16),       Cidr{{0xfe80'0000'0000'0000, 0}, 10},
    Cidr{{0xfd00'0ec2'0000'0000, 0}, 32},     Cidr{{0xfd20'00ce'0000'0000, 0x254}, 128},
    Cidr{{0xfd00'0042'0000'0000, 0x42}, 128},
};

struct NatConfig {
  bool allow_host_loopback = false;
  std::uint16_t mtu = 1500;                        // IP bytes; 65520 at most
  std::vector<std::uint16_t> loopback_ports = {};  // with allow_host_loopback: these alone; empty: all
  std::vector<Cidr> deny = {kDeniedByDefault.begin(), kDeniedByDefault.end()};
  std::vector<IpAddress> dns = {};  // name servers, three at most; empty: those of the host's resolv.conf
  std::vector<PublishedPort> publish = {};
  std::uint32_t max_flows = 32768;      // TCP, UDP and echo together
  std::uint32_t max_new_flows = 20000;  // a second
  // How long the end waits, without progress, for peers to take what the guest has sent; 0: not at all.
  std::uint32_t linger_s = 10;
  PollConfig poll = {};  // for the caller, who creates the loop that the NAT runs on
};

// "A.B.C.D/N" or "A:B::/N", or an address alone. Bits beyond the prefix must be 0: with a slip there, another
// network than the meant one would be denied.
[[nodiscard]] Result<Cidr> parse_cidr(std::string_view text);
[[nodiscard]] Result<IpAddress> parse_address(std::string_view text);
// "80,443,8080"
[[nodiscard]] Result<std::vector<std::uint16_t>> parse_ports(std::string_view text);
// "[ADDRESS:]HOSTPORT:PORT[/udp]", an IPv6 ADDRESS in brackets
[[nodiscard]] Result<PublishedPort> parse_published(std::string_view text);

}  // namespace glassbox::net
