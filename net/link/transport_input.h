// Reads a TCP segment or UDP datagram out of a guest's IP packet of either family, and checks its header and
// checksum. A guest's mistake is returned as the reason for dropping the frame, kNone if there is none.
//
// Thread: the network thread.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/reasons.h"
#include "net/flow/flow_key.h"
#include "net/guest_port.h"
#include "net/link/ip_input.h"
#include "vmm/base/iovec.h"

namespace glassbox::net {

// A frame from the guest: its pieces in guest memory, and a private copy of its beginning.
struct GuestFrame {
  std::span<const iovec> pieces;
  std::span<const std::uint8_t> headers;  // up to kMaxHeaders bytes, Ethernet header first
  VnetHeader vnet;

  // The copied bytes behind the packet's IP header.
  [[nodiscard]] std::span<const std::uint8_t> transport(const IpPacket& packet) const {
    return headers.subspan(kEthernetHeader + packet.header_bytes);
  }
};

// Sets all of tcp (or key). payload becomes the part of the frame that is the payload, in guest memory.
[[nodiscard]] DropReason read_tcp(const GuestFrame& frame, const IpPacket& packet, TcpHeader& tcp,
                                  IovSlice& payload);
[[nodiscard]] DropReason read_udp(const GuestFrame& frame, const IpPacket& packet, FlowKey& key,
                                  IovSlice& payload);

}  // namespace glassbox::net
