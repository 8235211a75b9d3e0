// Checks of the guest's IP packets and TCP headers. Pure functions over a private copy of the headers: a
// guest's mistake comes back as the reason for dropping the frame.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow/flow_key.h"
#include "net/flow/seq.h"
#include "net/inet.h"
#include "net/reasons.h"

namespace glassbox::net {

// A packet of either family.
struct IpPacket {
  IpAddress source;
  IpAddress destination;
  std::uint16_t protocol = 0;    // of what the header is followed by; as wide as the probes want it
  std::uint8_t hops = 0;         // TTL or hop limit
  std::size_t header_bytes = 0;  // of IP
  std::size_t total_bytes = 0;   // header and payload; what the frame has beyond is padding
};

// A guest segment's header, out of a private copy and checked for length and checksum.
struct TcpHeader {
  FlowKey key;
  Seq seq = 0;
  Seq ack = 0;
  std::uint16_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t mss = 0;   // option, 0 if absent
  std::int8_t scale = -1;  // option, -1 if absent
  std::uint8_t hops = 0;   // TTL or hop limit of the packet

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

// headers: the copied bytes from the IP header on; frame_bytes: how many the frame has from there.
[[nodiscard]] DropReason parse_ipv4(std::span<const std::uint8_t> headers, std::size_t frame_bytes,
                                    IpPacket& packet);

[[nodiscard]] DropReason parse_ipv6(std::span<const std::uint8_t> headers, std::size_t frame_bytes,
                                    IpPacket& packet);

// headers: the copied bytes from the TCP header on; bytes: of the whole segment. Sets all of tcp but the
// addresses, and header_bytes.
[[nodiscard]] DropReason parse_tcp(std::span<const std::uint8_t> headers, std::size_t bytes, TcpHeader& tcp,
                                   std::size_t& header_bytes);

}  // namespace glassbox::net
