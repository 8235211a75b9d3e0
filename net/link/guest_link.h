// Frames for the guest: headers are built in place in front of payload that lies in the guest's own receive
// buffers already.
//
// Usage, with payload:
//   if (link.begin(max_bytes)) {            // lends link.payload()
//     n = recvmsg(fd, link.payload().span());
//     n > 0 ? link.finish_tcp(segment, n) : link.cancel();
//   }
#pragma once

#include <cstdint>
#include <span>

#include "net/counters.h"
#include "net/flow/flow_key.h"
#include "net/flow/seq.h"
#include "net/guest_port.h"
#include "vmm/base/iovec.h"

namespace glassbox::net {

// One TCP segment towards the guest, without payload.
struct TcpSegment {
  const FlowKey* key = nullptr;
  std::uint64_t flow = 0;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;               // as on the wire
  std::uint16_t mss = 0;                  // for segmentation of large frames
  bool awaited = true;                    // as in RxFrame
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
  // The guest may choose its IPv6 address within the network; the last one it sent from counts.
  void set_guest_ip6(const IpAddress& address) { guest_ip6_ = address; }
  [[nodiscard]] const IpAddress& guest_ip6() const { return guest_ip6_; }

  // Without payload. False if the guest gave no buffers (then on_rx_space() follows).
  [[nodiscard]] bool send_tcp(const TcpSegment& segment);

  // Reserves room for a TCP frame without options and up to max_bytes of payload. guest: of the frame's
  // family.
  [[nodiscard]] bool begin_tcp(const IpAddress& guest, std::size_t max_bytes);
  [[nodiscard]] IovSlice& payload() { return payload_; }
  void finish_tcp(const TcpSegment& segment, std::size_t payload_bytes);
  // The same for one UDP datagram.
  [[nodiscard]] bool begin_udp(const IpAddress& guest, std::size_t max_bytes);
  void finish_udp(const FlowKey& key, std::size_t payload_bytes);
  void cancel() { port_.rx_cancel(); }

  // A datagram of our own, at most kMaxOwnDatagram bytes.
  static constexpr std::size_t kMaxOwnDatagram = 512;
  void send_udp(const IpAddress& source, std::uint16_t source_port, const IpAddress& destination,
                std::uint16_t destination_port, std::span<const std::uint8_t> payload);

  // A whole small frame: the Ethernet header's addresses are filled in, the rest is as given. Lost, and
  // counted, when there are no buffers.
  void send_frame(std::span<std::uint8_t> frame, std::uint16_t ethertype);
  // A packet of one protocol unit whose own checksum is done already.
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

// Writes a 20-byte IPv4 header: don't fragment, identification 0 (RFC 6864, 4.1), checksum done.
void put_ipv4_header(std::uint8_t* out, std::uint8_t protocol, Ipv4 source, Ipv4 destination,
                     std::size_t payload_bytes);
// Writes a 40-byte IPv6 header. Hop limit 255: what neighbour discovery asks for (RFC 4861), and nobody else
// minds.
void put_ipv6_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                     const IpAddress& destination, std::size_t payload_bytes);
// That of the addresses' family; ip_header_bytes() long.
void put_ip_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                   const IpAddress& destination, std::size_t payload_bytes);

}  // namespace glassbox::net
