// Frames of a scripted guest, built by hand, and those for it, taken apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fake_port.h"
#include "net/flow/seq.h"
#include "net/inet.h"

namespace glassbox::net {

// One frame for the guest, taken apart; checksums are verified while parsing (EXPECT).
struct Seen {
  std::uint16_t ethertype = 0;
  std::uint8_t protocol = 0;
  Ipv4 source = 0;
  Ipv4 destination = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::vector<std::uint8_t> options;
  std::string payload;  // TCP payload, or what follows the IP header
  RxFrame facts;
};
[[nodiscard]] Seen take_apart(const PublishedFrame& frame);

struct SegmentSpec {
  std::uint16_t guest_port = 40000;
  std::uint16_t dst_port = 80;
  Ipv4 dst = kGatewayIp;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 65535;
  std::vector<std::uint8_t> options = {};
  std::string payload = {};
  std::uint16_t urgent = 0;
  std::uint16_t fragment = 0;  // the IP header's flags and offset
};
[[nodiscard]] std::vector<std::uint8_t> build_segment(const SegmentSpec& spec);
[[nodiscard]] std::vector<std::uint8_t> build_ipv4(std::uint8_t protocol, Ipv4 destination,
                                                   const std::string& payload, std::uint16_t fragment = 0,
                                                   Ipv4 source = kGuestIp);
void set_ttl(std::vector<std::uint8_t>& ipv4_frame, std::uint8_t ttl);
[[nodiscard]] std::vector<std::uint8_t> build_arp(Ipv4 target);

}  // namespace glassbox::net
