// Addresses, byte order and the wire formats that the NAT reads and writes. Headers are read out of a private
// copy by offset and never cast, so that neither alignment nor a guest that changes its memory matters.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace glassbox::net {

inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kArpPacket = 28;
inline constexpr std::size_t kIpv4Header = 20;
inline constexpr std::size_t kMaxIpv4Header = 60;
inline constexpr std::size_t kIpv6Header = 40;
inline constexpr std::size_t kTcpHeader = 20;
inline constexpr std::size_t kMaxTcpHeader = 60;
inline constexpr std::size_t kUdpHeader = 8;
inline constexpr std::size_t kIcmpHeader = 8;
inline constexpr std::size_t kMaxHeaders = kEthernetHeader + kMaxIpv4Header + kMaxTcpHeader;
inline constexpr std::size_t kMaxIpPacket = 65535;
inline constexpr std::uint16_t kMinIpv6Mtu = 1280;  // RFC 8200, 5

inline constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEthertypeArp = 0x0806;
inline constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;

inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpPsh = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;

[[nodiscard]] constexpr std::uint16_t load_be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}
[[nodiscard]] constexpr std::uint32_t load_be32(const std::uint8_t* p) {
  return (static_cast<std::uint32_t>(load_be16(p)) << 16) | load_be16(p + 2);
}
constexpr void store_be16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
constexpr void store_be32(std::uint8_t* p, std::uint32_t v) {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}

[[nodiscard]] constexpr std::uint64_t load_be64(const std::uint8_t* p) {
  return (static_cast<std::uint64_t>(load_be32(p)) << 32) | load_be32(p + 4);
}
constexpr void store_be64(std::uint8_t* p, std::uint64_t v) {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}

using MacAddress = std::array<std::uint8_t, 6>;
// Locally administered. The guest's is what virtio-net and the tap give it; a guest that chooses another is
// followed (GuestLink::set_guest_mac).
inline constexpr MacAddress kGuestMac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
inline constexpr MacAddress kGatewayMac = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};

using Ipv4 = std::uint32_t;  // host order

[[nodiscard]] constexpr Ipv4 ipv4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return (a << 24) | (b << 16) | (c << 8) | d;
}
[[nodiscard]] constexpr bool in_net(Ipv4 address, Ipv4 net, unsigned prefix) {
  const Ipv4 mask = prefix == 0 ? 0 : ~Ipv4{0} << (32 - prefix);
  return (address & mask) == (net & mask);
}

// The guest's IPv4 network.
inline constexpr Ipv4 kGuestIp = ipv4(10, 0, 2, 15);
inline constexpr Ipv4 kGatewayIp = ipv4(10, 0, 2, 2);
inline constexpr Ipv4 kDnsIp = ipv4(10, 0, 2, 3);
inline constexpr Ipv4 kNetwork = ipv4(10, 0, 2, 0);
inline constexpr unsigned kNetworkPrefix = 24;

// An address of either family, IPv4 in its mapped form ::ffff:a.b.c.d, so that flows of both look alike.
struct IpAddress {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;

  [[nodiscard]] static constexpr IpAddress from_v4(Ipv4 v4) { return {0, 0xffff'0000'0000ULL | v4}; }
  [[nodiscard]] static constexpr IpAddress load(const std::uint8_t* p) {
    return {load_be64(p), load_be64(p + 8)};
  }
  constexpr void store(std::uint8_t* p) const {
    store_be64(p, hi);
    store_be64(p + 8, lo);
  }
  [[nodiscard]] constexpr bool is_v4() const { return hi == 0 && (lo >> 32) == 0xffff; }
  [[nodiscard]] constexpr Ipv4 v4() const { return static_cast<Ipv4>(lo); }
  // clang-tidy 14 takes a defaulted <=> for a comparison with a pointer.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// prefix counts bits of 128, for an IPv4 network too: there it is 96 or more.
[[nodiscard]] constexpr bool in_net(const IpAddress& address, const IpAddress& net, unsigned prefix) {
  const auto differs = [](std::uint64_t a, std::uint64_t b, unsigned bits) {
    return bits != 0 && ((a ^ b) >> (64 - bits)) != 0;
  };
  if (prefix <= 64) return !differs(address.hi, net.hi, prefix);
  return address.hi == net.hi && !differs(address.lo, net.lo, prefix - 64);
}

// The guest's IPv6 network, of unique local addresses (RFC 4193).
inline constexpr std::uint64_t kNetwork6 = 0xfd00'0010'0000'0002;  // fd00:10:0:2::/64
inline constexpr unsigned kNetwork6Prefix = 64;
inline constexpr IpAddress kGatewayIp6 = {kNetwork6, 0x02};  // fd00:10:0:2::2
inline constexpr IpAddress kDnsIp6 = {kNetwork6, 0x03};      // fd00:10:0:2::3
inline constexpr IpAddress kGuestIp6 = {kNetwork6, 0x15};  // fd00:10:0:2::15, unless the guest takes another
inline constexpr IpAddress kGatewayLinkLocal = {0xfe80'0000'0000'0000, 0x02};  // fe80::2
inline constexpr IpAddress kUnspecified6 = {};
inline constexpr IpAddress kLoopback6 = {0, 1};
inline constexpr IpAddress kAllNodes = {0xff02'0000'0000'0000, 1};  // RFC 4291, 2.7.1
inline constexpr IpAddress kAllRouters = {0xff02'0000'0000'0000, 2};

[[nodiscard]] constexpr bool is_multicast6(const IpAddress& address) {
  return address.hi >> 56 == 0xff;
}
[[nodiscard]] constexpr bool is_link_local6(const IpAddress& address) {
  return address.hi >> 54 == 0xfe80 >> 6;
}
[[nodiscard]] constexpr bool is_guest_network6(const IpAddress& address) {
  return address.hi == kNetwork6;
}
// The addresses that the NAT itself answers for.
[[nodiscard]] constexpr bool is_ours(const IpAddress& address) {
  if (address.is_v4()) return address.v4() == kGatewayIp || address.v4() == kDnsIp;
  return address == kGatewayIp6 || address == kDnsIp6 || address == kGatewayLinkLocal;
}

[[nodiscard]] constexpr std::size_t ip_header_bytes(const IpAddress& address) {
  return address.is_v4() ? kIpv4Header : kIpv6Header;
}

}  // namespace glassbox::net
