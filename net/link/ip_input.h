// Checks the guest's IP packets and TCP headers. Pure functions over a private copy of the headers. A guest's
// mistake is returned as the reason for dropping the frame, kNone if there is none.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/reasons.h"
#include "net/flow/flow_key.h"
#include "net/flow/seq.h"
#include "net/inet.h"

namespace glassbox::net {

// A packet of either family.
struct IpPacket {
  IpAddress source;
  IpAddress destination;
  std::uint16_t protocol = 0;    // of what follows the header; as wide as the probes' argument
  std::uint8_t hops = 0;         // TTL or hop limit
  std::size_t header_bytes = 0;  // of IP
  std::size_t total_bytes = 0;   // header and payload; the rest of the frame is padding
};

// The header of a segment from the guest, read from a private copy.
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

// headers: the copied bytes from the IP header on; frame_bytes: the bytes of the frame from there on.
[[nodiscard]] DropReason parse_ipv4(std::span<const std::uint8_t> headers, std::size_t frame_bytes,
                                    IpPacket& packet);

[[nodiscard]] DropReason parse_ipv6(std::span<const std::uint8_t> headers, std::size_t frame_bytes,
                                    IpPacket& packet);

// headers: the copied bytes from the TCP header on; bytes: the length of the whole segment. Sets header_bytes
// and all of tcp except the addresses and hops. The checksum is not checked here.
[[nodiscard]] DropReason parse_tcp(std::span<const std::uint8_t> headers, std::size_t bytes, TcpHeader& tcp,
                                   std::size_t& header_bytes);

}  // namespace glassbox::net
