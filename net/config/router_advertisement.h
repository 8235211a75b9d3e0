// The router advertisement for the guest (RFC 4861, 4.2; RFC 8106): the prefix fd00:10:0:2::/64, from which a
// guest makes its address, the name server, the MTU, and a flag that DHCPv6 offers the name server only.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "net/inet.h"

namespace glassbox::net {

inline constexpr std::size_t kRouterAdvertisement = 88;
inline constexpr std::uint16_t kRouterLifetimeSeconds = 1800;  // three times the interval (RFC 4861, 6.2.1)

// Writes an ICMPv6 message without its checksum. default_router: whether the guest should send packets for
// other networks to the gateway; its own network is reached in any case.
void put_router_advertisement(std::span<std::uint8_t, kRouterAdvertisement> out, std::uint16_t mtu,
                              bool default_router);

// Whether this host has a route to the IPv6 Internet. Asks the routing table by a connect() of a UDP socket;
// nothing is sent.
[[nodiscard]] bool host_reaches_ipv6();

}  // namespace glassbox::net
