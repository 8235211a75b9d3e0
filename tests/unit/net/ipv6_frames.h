// IPv6 frames of a guest, put together field by field.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "net/flow/seq.h"
#include "net/inet.h"
#include "net/link/checksum.h"
#include "net/link/guest_link.h"
#include "net/nat.h"

namespace glassbox::net {

using Bytes = std::vector<std::uint8_t>;

struct PacketSpec {
  std::uint8_t protocol = kProtocolIcmpv6;
  IpAddress source = kGuestIp6;
  IpAddress destination = kGatewayIp6;
  std::uint8_t hops = 255;
  MacAddress mac = kGatewayMac;
};

// The transport's checksum, at `checksum`, is filled in.
inline Bytes build_ipv6(const PacketSpec& spec, Bytes transport, std::size_t checksum) {
  if (checksum + 2 <= transport.size()) {
    Checksum sum;
    sum.add_pseudo_header(spec.source, spec.destination, spec.protocol, transport.size());
    sum.add(transport);
    store_be16(&transport[checksum], sum.value());
  }
  Bytes frame(kEthernetHeader + kIpv6Header);
  std::copy(spec.mac.begin(), spec.mac.end(), frame.begin());
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeIpv6);
  put_ipv6_header(&frame[kEthernetHeader], spec.protocol, spec.source, spec.destination, transport.size());
  frame[kEthernetHeader + 7] = spec.hops;
  frame.insert(frame.end(), transport.begin(), transport.end());
  return frame;
}

inline Bytes tcp_segment(std::uint16_t to, Seq seq, Seq ack, std::uint8_t flags,
                         const std::string& payload = {}) {
  Bytes tcp(kTcpHeader);
  store_be16(&tcp[0], 40000);
  store_be16(&tcp[2], to);
  store_be32(&tcp[4], seq);
  store_be32(&tcp[8], ack);
  tcp[12] = 5 << 4;
  tcp[13] = flags;
  store_be16(&tcp[14], 65535);
  tcp.insert(tcp.end(), payload.begin(), payload.end());
  return tcp;
}

inline Bytes udp_datagram(std::uint16_t from, std::uint16_t to, const std::string& payload) {
  Bytes udp(kUdpHeader);
  store_be16(&udp[0], from);
  store_be16(&udp[2], to);
  store_be16(&udp[4], static_cast<std::uint16_t>(kUdpHeader + payload.size()));
  udp.insert(udp.end(), payload.begin(), payload.end());
  return udp;
}

}  // namespace glassbox::net
