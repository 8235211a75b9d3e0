#include "net/link/arp.h"

#include <algorithm>
#include <cstring>

namespace glassbox::net {
namespace {

constexpr std::array<std::uint8_t, 6> kEthernetIpv4 = {0, 1, 8, 0, 6, 4};
constexpr std::size_t kOperation = 6, kSenderMac = 8, kSenderIp = 14, kTargetMac = 18, kTargetIp = 24;
constexpr std::uint16_t kRequest = 1;
constexpr std::uint16_t kReply = 2;

}  // namespace

DropReason answer_arp(std::span<const std::uint8_t> arp,
                      std::span<std::uint8_t, kEthernetHeader + kArpPacket> reply) {
  if (arp.size() < kArpPacket) return DropReason::kShortFrame;
  if (!std::equal(kEthernetIpv4.begin(), kEthernetIpv4.end(), arp.begin())) return DropReason::kBadArp;
  if (load_be16(&arp[kOperation]) != kRequest) return DropReason::kBadArp;
  const Ipv4 target = load_be32(&arp[kTargetIp]);
  if (target != kGatewayIp && target != kDnsIp) return DropReason::kArpNotOurs;
  std::uint8_t* out = reply.data() + kEthernetHeader;
  std::memcpy(out, kEthernetIpv4.data(), kEthernetIpv4.size());
  store_be16(out + kOperation, kReply);
  std::memcpy(out + kSenderMac, kGatewayMac.data(), kGatewayMac.size());
  store_be32(out + kSenderIp, target);
  std::memcpy(out + kTargetMac, &arp[kSenderMac], 10);  // hardware and protocol address of the sender
  return DropReason::kNone;
}

}  // namespace glassbox::net
