#include "net/config/dhcp.h"

#include <algorithm>
#include <cstring>

namespace glassbox::net {
namespace {

// Offsets in a message (RFC 2131, figure 1).
constexpr std::size_t kOp = 0, kHardwareType = 1, kHardwareLength = 2, kTransaction = 4, kFlags = 10,
                      kClientAddress = 12, kYourAddress = 16, kServerAddress = 20, kRelayAddress = 24,
                      kHardwareAddress = 28, kCookie = 236, kOptions = 240;
constexpr std::uint32_t kCookieValue = 0x63825363;
constexpr std::uint8_t kBootRequest = 1;
constexpr std::uint8_t kBootReply = 2;
constexpr std::uint8_t kEthernet = 1;
constexpr std::uint16_t kBroadcastFlag = 0x8000;
constexpr Ipv4 kBroadcast = ~Ipv4{0};

enum Option : std::uint8_t {
  kPad = 0,
  kSubnetMask = 1,
  kRouter = 3,
  kNameServer = 6,
  kInterfaceMtu = 26,
  kRequestedAddress = 50,
  kLeaseTime = 51,
  kMessageType = 53,
  kServerIdentifier = 54,
  kEnd = 255,
};

enum Type : std::uint8_t {
  kNone = 0,
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7,
  kInform = 8,
};

constexpr std::uint32_t kLeaseSeconds = 86400;

struct Asked {
  std::uint8_t type = kNone;
  std::optional<Ipv4> address;
  std::optional<Ipv4> server;
};

// False if an option runs over the end or has a wrong length.
bool parse_options(std::span<const std::uint8_t> options, Asked& asked) {
  while (!options.empty()) {
    const std::uint8_t code = options[0];
    if (code == kEnd) return true;
    if (code == kPad) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options.size() - 2 < options[1]) return false;
    const auto value = options.subspan(2, options[1]);
    options = options.subspan(2 + value.size());
    if (code == kMessageType) {
      if (value.size() != 1) return false;
      asked.type = value[0];
    } else if (code == kRequestedAddress || code == kServerIdentifier) {
      if (value.size() != 4) return false;
      (code == kRequestedAddress ? asked.address : asked.server) = load_be32(value.data());
    }
  }
  return true;  // RFC 2131 requires an end option, but some clients leave it out
}

class OptionWriter {
 public:
  explicit OptionWriter(std::span<std::uint8_t> room) : room_(room) {}
  void put8(std::uint8_t code, std::uint8_t value) {
    put(code, 1);
    room_[at_++] = value;
  }
  void put16(std::uint8_t code, std::uint16_t value) {
    put(code, 2);
    store_be16(&room_[at_], value);
    at_ += 2;
  }
  void put32(std::uint8_t code, std::uint32_t value) {
    put(code, 4);
    store_be32(&room_[at_], value);
    at_ += 4;
  }
  void end() { room_[at_++] = kEnd; }

 private:
  void put(std::uint8_t code, std::uint8_t length) {
    room_[at_++] = code;
    room_[at_++] = length;
  }
  std::span<std::uint8_t> room_;
  std::size_t at_ = 0;
};

// The type of the answer (RFC 2131, 4.3), kNone for no answer.
Type answer_to(const Asked& asked, Ipv4 client) {
  switch (asked.type) {
    case kDiscover:
      return kOffer;
    case kRequest: {
      if (asked.server && *asked.server != kGatewayIp) return kNone;  // it took another server's offer
      // Selecting and rebooting name the address in an option, renewing and rebinding in the header.
      const Ipv4 wanted = asked.address ? *asked.address : client;
      return wanted == kGuestIp ? kAck : kNak;
    }
    case kInform:
      return kAck;
    default:
      return kNone;
  }
}

}  // namespace

DhcpOutcome answer_dhcp(std::span<const std::uint8_t> request, std::uint16_t mtu, DhcpReply& reply) {
  if (request.size() < kOptions || request[kOp] != kBootRequest || request[kHardwareType] != kEthernet ||
      request[kHardwareLength] != 6 || load_be32(&request[kCookie]) != kCookieValue) {
    return DhcpOutcome::kMalformed;
  }
  if (load_be32(&request[kRelayAddress]) != 0) return DhcpOutcome::kMalformed;  // this network has no relay
  Asked asked;
  if (!parse_options(request.subspan(kOptions), asked)) return DhcpOutcome::kMalformed;
  if (asked.type < kDiscover || asked.type > kInform || asked.type == kOffer || asked.type == kAck ||
      asked.type == kNak) {
    return DhcpOutcome::kMalformed;
  }
  const Ipv4 client = load_be32(&request[kClientAddress]);
  const Type type = answer_to(asked, client);
  if (type == kNone) return DhcpOutcome::kNoReply;
  const bool inform = asked.type == kInform;

  std::uint8_t* out = reply.message.data();
  reply.message.fill(0);
  out[kOp] = kBootReply;
  out[kHardwareType] = kEthernet;
  out[kHardwareLength] = 6;
  std::memcpy(out + kTransaction, &request[kTransaction], 4);
  std::memcpy(out + kFlags, &request[kFlags], 2);
  std::memcpy(out + kHardwareAddress, &request[kHardwareAddress], 16);
  store_be32(out + kCookie, kCookieValue);
  OptionWriter options(std::span(reply.message).subspan(kOptions));
  options.put8(kMessageType, type);
  options.put32(kServerIdentifier, kGatewayIp);
  if (type != kNak) {
    // Table 3: the answer to an inform has neither address nor lease.
    if (type == kAck) store_be32(out + kClientAddress, client);
    if (!inform) store_be32(out + kYourAddress, kGuestIp);
    store_be32(out + kServerAddress, kGatewayIp);
    if (!inform) options.put32(kLeaseTime, kLeaseSeconds);
    options.put32(kSubnetMask, ~Ipv4{0} << (32 - kNetworkPrefix));
    options.put32(kRouter, kGatewayIp);
    options.put32(kNameServer, kDnsIp);
    options.put16(kInterfaceMtu, mtu);
  }
  options.end();

  // RFC 2131, 4.1. A client that claims an address other than kGuestIp could not receive a unicast.
  const bool broadcast = (load_be16(&request[kFlags]) & kBroadcastFlag) != 0;
  if (type == kNak || (client != 0 && client != kGuestIp) || (client == 0 && broadcast)) {
    reply.destination = kBroadcast;
  } else {
    reply.destination = kGuestIp;
  }
  return DhcpOutcome::kReply;
}

}  // namespace glassbox::net
