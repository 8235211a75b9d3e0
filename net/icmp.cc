#include "net/icmp.h"

#include <array>
#include <cstring>

#include "net/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kIcmpOffset = kEthernetHeader + kIpv4Header;
constexpr std::size_t kMaxEcho = 2048;
constexpr std::uint8_t kEchoReply = 0;
constexpr std::uint8_t kEchoRequest = 8;

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

DropReason Icmp::on_message(Ipv4 source, Ipv4 destination, const IovSlice& message) {
  const std::size_t bytes = message.bytes();
  if (destination != kGatewayIp && destination != kDnsIp) return DropReason::kBadIcmp;
  if (bytes < kIcmpHeader || bytes > kMaxEcho) return DropReason::kBadIcmp;
  std::array<std::uint8_t, kIcmpOffset + kMaxEcho> buffer;
  const auto frame = std::span(buffer).first(kIcmpOffset + bytes);
  const auto icmp = frame.subspan(kIcmpOffset);
  iov_gather(message.span(), icmp.data(), bytes);
  Checksum sum;
  sum.add(icmp);
  if (sum.value() != 0) return DropReason::kBadChecksum;
  if (icmp[0] != kEchoRequest || icmp[1] != 0) return DropReason::kBadIcmp;
  icmp[0] = kEchoReply;
  store_be16(&icmp[2], 0);
  finish_icmp(link_, frame, destination, source);
  return DropReason::kNone;
}

}  // namespace glassbox::net
