#include "net/icmp.h"

#include <array>
#include <cstring>

#include "net/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kIcmpOffset = kEthernetHeader + kIpv4Header;
constexpr std::size_t kMaxEcho = 2048;

void finish_icmp(GuestLink& link, std::span<std::uint8_t> frame, Ipv4 from, Ipv4 to) {
  Checksum sum;
  sum.add(frame.subspan(kIcmpOffset));
  store_be16(&frame[kIcmpOffset + 2], sum.value());
  link.send_ipv4(frame, kProtocolIcmp, from, to);
}

}  // namespace

void send_unreachable(GuestLink& link, std::uint8_t code, std::uint8_t protocol, const FlowKey& key,
                      std::span<const std::uint8_t, 8> transport) {
  std::array<std::uint8_t, kIcmpOffset + kIcmpHeader + kIpv4Header + 8> frame{};
  frame[kIcmpOffset] = 3;
  frame[kIcmpOffset + 1] = code;
  std::uint8_t* quoted = frame.data() + kIcmpOffset + kIcmpHeader;
  put_ipv4_header(quoted, protocol, key.guest.v4(), key.dst.v4(), kTcpHeader);
  std::memcpy(quoted + kIpv4Header, transport.data(), transport.size());
  finish_icmp(link, frame, kGatewayIp, key.guest.v4());
}

void send_echo_reply(GuestLink& link, Ipv4 from, Ipv4 to, std::span<const std::uint8_t> message) {
  std::array<std::uint8_t, kIcmpOffset + kMaxEcho> frame;
  if (message.size() < kIcmpHeader || message.size() > kMaxEcho) return;
  std::memcpy(frame.data() + kIcmpOffset, message.data(), message.size());
  frame[kIcmpOffset] = 0;
  frame[kIcmpOffset + 1] = 0;
  store_be16(&frame[kIcmpOffset + 2], 0);
  finish_icmp(link, std::span(frame).first(kIcmpOffset + message.size()), from, to);
}

}  // namespace glassbox::net
