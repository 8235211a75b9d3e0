#include "net/link/neighbour.h"

#include <algorithm>
#include <array>

#include "net/config/router_advertisement.h"
#include "net/icmp/icmp_error.h"
#include "vmm/base/clock.h"

namespace glassbox::net {
namespace {

enum Type : std::uint8_t {
  kRouterSolicitation = 133,
  kNeighbourSolicitation = 135,
  kNeighbourAdvertisement = 136,
};

constexpr std::uint8_t kHopLimit = 255;  // proves that no router has forwarded the message
constexpr std::size_t kNeighbourMessage = 24;
constexpr std::size_t kTarget = 8;
constexpr std::uint8_t kSourceLinkAddress = 1;
constexpr std::uint8_t kTargetLinkAddress = 2;
constexpr std::uint8_t kRouter = 0x80, kSolicited = 0x40, kOverride = 0x20;
constexpr std::uint64_t kAdvertiseNs = kRouterLifetimeSeconds / 3 * kNsPerSecond;

// ff02::1:ffXX:XXXX (RFC 4291, 2.7.1)
constexpr IpAddress solicited_node(const IpAddress& address) {
  return {kAllNodes.hi, 0x1'ff00'0000 | (address.lo & 0xff'ffff)};
}

// False if the options are malformed: a length, in units of 8 bytes, is 0 or goes beyond the message. Sets
// found if the wanted option is there.
bool parse_options(std::span<const std::uint8_t> options, std::uint8_t wanted, bool& found) {
  while (!options.empty()) {
    if (options.size() < 2 || options[1] == 0 || options.size() < std::size_t{8} * options[1]) return false;
    if (options[0] == wanted) found = true;
    options = options.subspan(std::size_t{8} * options[1]);
  }
  return true;
}

// The rules that all solicitations and advertisements share (RFC 4861, 6.1.1 and 7.1). fixed: bytes before
// the options.
bool is_valid(const IpPacket& packet, std::span<const std::uint8_t> message, std::size_t fixed) {
  if (packet.hops != kHopLimit || message[1] != 0 || message.size() < fixed) return false;
  bool has_source = false;
  if (!parse_options(message.subspan(fixed), kSourceLinkAddress, has_source)) return false;
  return packet.source != kUnspecified6 || !has_source;
}

}  // namespace

DropReason NeighbourDiscovery::on_message(const IpPacket& packet, std::span<const std::uint8_t> message) {
  switch (message[0]) {
    case kRouterSolicitation:
      if (!is_valid(packet, message, kIcmpHeader)) return DropReason::kBadNeighbour;
      advertise_router(packet.source == kUnspecified6 ? kAllNodes : packet.source);
      return DropReason::kNone;
    case kNeighbourSolicitation:
      if (!is_valid(packet, message, kNeighbourMessage)) return DropReason::kBadNeighbour;
      return answer_neighbour(packet, message);
    case kNeighbourAdvertisement:  // the NAT keeps no neighbour cache
      return is_valid(packet, message, kNeighbourMessage) ? DropReason::kNone : DropReason::kBadNeighbour;
    default:  // a router's message, but the guest is not a router
      return DropReason::kBadNeighbour;
  }
}

DropReason NeighbourDiscovery::answer_neighbour(const IpPacket& packet,
                                                std::span<const std::uint8_t> message) {
  const IpAddress target = IpAddress::load(&message[kTarget]);
  const bool anonymous = packet.source == kUnspecified6;  // it looks for a duplicate of its own address
  if (is_multicast6(target) || (anonymous && packet.destination != solicited_node(target))) {
    return DropReason::kBadNeighbour;
  }
  if (target.is_v4() || !is_ours(target)) return DropReason::kNeighbourNotOurs;
  std::array<std::uint8_t, kIcmpFront + kNeighbourMessage + 8> frame{};
  const auto reply = std::span(frame).subspan<kIcmpFront>();
  reply[0] = kNeighbourAdvertisement;
  reply[4] = static_cast<std::uint8_t>(kRouter | kOverride | (anonymous ? 0 : kSolicited));
  target.store(&reply[kTarget]);
  reply[kNeighbourMessage] = kTargetLinkAddress;
  reply[kNeighbourMessage + 1] = 1;
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), reply.begin() + kNeighbourMessage + 2);
  send_icmp(link_, frame, target, anonymous ? kAllNodes : packet.source);
  return DropReason::kNone;
}

void NeighbourDiscovery::advertise_router(const IpAddress& to) {
  std::array<std::uint8_t, kIcmpFront + kRouterAdvertisement> frame;
  put_router_advertisement(std::span(frame).subspan<kIcmpFront>(), link_.mtu(), host_reaches_ipv6());
  send_icmp(link_, frame, kGatewayLinkLocal, to);
  next_advertisement_ns_ = loop_.now_ns() + kAdvertiseNs;
}

void NeighbourDiscovery::on_deadline() {
  if (next_advertisement_ns_ != 0 && loop_.now_ns() >= next_advertisement_ns_) advertise_router(kAllNodes);
}

}  // namespace glassbox::net
