// From a guest's IP packet, whatever its family, to a TCP segment or UDP datagram whose header is checked: a
// guest's mistake comes back as the reason for dropping the frame.
//
// Thread: the network thread.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow/flow_key.h"
#include "net/guest_port.h"
#include "net/link/ip_input.h"
#include "net/reasons.h"
#include "vmm/base/iovec.h"

namespace glassbox::net {

// A frame of the guest: where it lies in guest memory, and a private copy of how it begins.
struct GuestFrame {
  std::span<const iovec> pieces;
  std::span<const std::uint8_t> headers;  // up to kMaxHeaders bytes, Ethernet header first
  VnetHeader vnet;

  // The copied bytes behind the packet's IP header.
  [[nodiscard]] std::span<const std::uint8_t> transport(const IpPacket& packet) const {
    return headers.subspan(kEthernetHeader + packet.header_bytes);
  }
};

// Sets all of tcp; payload is a part of the frame.
[[nodiscard]] DropReason read_tcp(const GuestFrame& frame, const IpPacket& packet, TcpHeader& tcp,
                                  IovSlice& payload);
[[nodiscard]] DropReason read_udp(const GuestFrame& frame, const IpPacket& packet, FlowKey& key,
                                  IovSlice& payload);

}  // namespace glassbox::net
