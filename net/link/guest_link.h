// Frames for the guest: the payload is received straight into the guest's receive buffers, then the headers
// are written in front of it.
//
// A frame with payload:
//   if (link.begin_tcp(guest, max_bytes)) {   // lends link.payload()
//     n = recvmsg(fd, link.payload().span());
//     n > 0 ? link.finish_tcp(segment, n) : link.cancel();
//   }
// One frame at a time: between begin and finish or cancel nothing else may be sent.
//
// Thread: the network thread. Nothing allocates.
#pragma once

#include <cstdint>
#include <span>

#include "net/counters.h"
#include "net/flow/flow_key.h"
#include "net/flow/seq.h"
#include "net/guest_port.h"
#include "vmm/base/iovec.h"

namespace glassbox::net {

// The header of one TCP segment for the guest.
struct TcpSegment {
  const FlowKey* key = nullptr;
  std::uint64_t flow = 0;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;               // as on the wire
  std::uint16_t mss = 0;                  // for segmentation of large frames
  bool awaited = true;                    // as in RxFrame (net/guest_port.h)
  bool expects_bare_ack = false;          // likewise
  std::span<const std::uint8_t> options;  // multiple of 4, at most 8
};

class GuestLink {
 public:
  GuestLink(GuestPort& port, NatCounters& counters, std::uint16_t mtu)
      : port_(port), counters_(counters), mtu_(mtu) {}

  [[nodiscard]] GuestPort& port() { return port_; }
  [[nodiscard]] std::uint16_t mtu() const { return mtu_; }
  // The largest segment that fits the MTU.
  [[nodiscard]] std::uint16_t max_mss(const FlowKey& key) const {
    return static_cast<std::uint16_t>(mtu_ - ip_header_bytes(key.guest) - kTcpHeader);
  }
  // The largest TCP payload that one frame may carry, given the guest's MSS.
  [[nodiscard]] std::size_t max_tcp_payload(const FlowKey& key, std::uint16_t mss) const;

  void set_guest_mac(const MacAddress& mac) { guest_mac_ = mac; }
  // The guest may choose its IPv6 address within the network. This is the one it last sent from.
  void set_guest_ip6(const IpAddress& address) { guest_ip6_ = address; }
  [[nodiscard]] const IpAddress& guest_ip6() const { return guest_ip6_; }

  // Sends a segment without payload. False if there are no receive buffers (then on_rx_space() follows).
  [[nodiscard]] bool send_tcp(const TcpSegment& segment);

  // Reserves room for a TCP frame without options and up to max_bytes of payload. guest: an address of the
  // frame's family. False if there are too few receive buffers (then on_rx_space() follows).
  [[nodiscard]] bool begin_tcp(const IpAddress& guest, std::size_t max_bytes);
  // Where the payload belongs, until finish or cancel.
  [[nodiscard]] IovSlice& payload() { return payload_; }
  // Writes the headers and commits the frame; payload_bytes of it were filled.
  void finish_tcp(const TcpSegment& segment, std::size_t payload_bytes);
  // The same for a UDP datagram.
  [[nodiscard]] bool begin_udp(const IpAddress& guest, std::size_t max_bytes);
  void finish_udp(const FlowKey& key, std::size_t payload_bytes);
  void cancel() { port_.rx_cancel(); }

  // Sends a datagram that the NAT itself writes, at most kMaxOwnDatagram bytes.
  static constexpr std::size_t kMaxOwnDatagram = 512;
  void send_udp(const IpAddress& source, std::uint16_t source_port, const IpAddress& destination,
                std::uint16_t destination_port, std::span<const std::uint8_t> payload);

  // Sends a whole small frame. The Ethernet header is filled in here, the rest is as given. Without receive
  // buffers the frame is lost and counted.
  void send_frame(std::span<std::uint8_t> frame, std::uint16_t ethertype);
  // Sends an IP packet whose transport checksum is done already; Ethernet and IP header are filled in here.
  void send_ip(std::span<std::uint8_t> frame, std::uint8_t protocol, const IpAddress& source,
               const IpAddress& destination);

 private:
  std::size_t build_tcp(std::uint8_t* out, const TcpSegment& segment, std::size_t payload_bytes,
                        VnetHeader& vnet) const;
  [[nodiscard]] bool begin(std::size_t header_bytes, std::size_t max_bytes);
  void put_ethernet(std::uint8_t* out, std::uint16_t ethertype) const;
  std::size_t put_network(std::uint8_t* out, const FlowKey& key, std::uint8_t protocol,
                          std::size_t bytes) const;

  GuestPort& port_;
  NatCounters& counters_;
  const std::uint16_t mtu_;
  MacAddress guest_mac_ = kGuestMac;
  IpAddress guest_ip6_ = kGuestIp6;
  std::span<const iovec> reserved_;
  IovSlice payload_;
};

// Writes a 20-byte IPv4 header with its checksum: don't fragment, identification 0 (RFC 6864, 4.1).
void put_ipv4_header(std::uint8_t* out, std::uint8_t protocol, Ipv4 source, Ipv4 destination,
                     std::size_t payload_bytes);
// Writes a 40-byte IPv6 header. The hop limit is 255, since neighbour discovery requires it (RFC 4861) and
// all other protocols accept it.
void put_ipv6_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                     const IpAddress& destination, std::size_t payload_bytes);
// Writes the header of the addresses' family; it is ip_header_bytes() long.
void put_ip_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                   const IpAddress& destination, std::size_t payload_bytes);

}  // namespace glassbox::net
