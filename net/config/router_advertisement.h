// What the guest's router says of the network (RFC 4861, 4.2; RFC 8106): the prefix fd00:10:0:2::/64, from
// which a guest makes its address, the name server, the MTU, and that DHCPv6 has nothing but the name server.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "net/inet.h"

namespace glassbox::net {

inline constexpr std::size_t kRouterAdvertisement = 88;
inline constexpr std::uint16_t kRouterLifetimeSeconds = 1800;  // three times the interval (RFC 4861, 6.2.1)

// An ICMPv6 message but for its checksum. default_router: whether the guest is to send us what is for other
// networks; if not, our own addresses are still reached.
void put_router_advertisement(std::span<std::uint8_t, kRouterAdvertisement> out, std::uint16_t mtu,
                              bool default_router);

// Whether this host has a way to the IPv6 Internet. Asks the routing table; nothing is sent.
[[nodiscard]] bool host_reaches_ipv6();

}  // namespace glassbox::net
