#include "net/config/dhcpv6.h"

#include <algorithm>
#include <optional>

#include "net/inet.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kHeader = 4;        // type and transaction
constexpr std::size_t kOptionHeader = 4;  // code and length
constexpr std::size_t kMaxDuid = 130;     // RFC 8415, 11.1

enum Type : std::uint8_t { kSolicit = 1, kRequest = 3, kDecline = 9, kReply = 7, kInformationRequest = 11 };
enum Option : std::uint16_t {
  kClientId = 1,
  kServerId = 2,
  kNonTemporary = 3,  // 3, 4 and 25: identity associations, which hold addresses
  kTemporary = 4,
  kNameServers = 23,  // RFC 3646
  kPrefixDelegation = 25,
};

// The server's identifier: its link-layer address (RFC 8415, 11.4).
constexpr std::array<std::uint8_t, 10> make_server_duid() {
  std::array<std::uint8_t, 10> duid = {0, 3, 0, 1};
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), duid.begin() + 4);
  return duid;
}

struct Asked {
  std::span<const std::uint8_t> client;
  std::optional<std::span<const std::uint8_t>> server;
  bool wants_addresses = false;
};

bool parse_options(std::span<const std::uint8_t> options, Asked& asked) {
  while (!options.empty()) {
    if (options.size() < kOptionHeader) return false;
    const std::uint16_t code = load_be16(options.data());
    const std::size_t length = load_be16(&options[2]);
    if (options.size() - kOptionHeader < length) return false;
    const auto value = options.subspan(kOptionHeader, length);
    options = options.subspan(kOptionHeader + length);
    if (code == kClientId) {
      if (value.empty() || value.size() > kMaxDuid) return false;
      asked.client = value;
    } else if (code == kServerId) {
      asked.server = value;
    } else if (code == kNonTemporary || code == kTemporary || code == kPrefixDelegation) {
      asked.wants_addresses = true;
    }
  }
  return true;
}

void put_option(Dhcp6Reply& reply, std::uint16_t code, std::span<const std::uint8_t> value) {
  std::uint8_t* out = reply.message.data() + reply.bytes;
  store_be16(out, code);
  store_be16(out + 2, static_cast<std::uint16_t>(value.size()));
  std::copy(value.begin(), value.end(), out + kOptionHeader);
  reply.bytes += kOptionHeader + value.size();
}

}  // namespace

DhcpOutcome answer_dhcp6(std::span<const std::uint8_t> request, Dhcp6Reply& reply) {
  if (request.size() < kHeader) return DhcpOutcome::kMalformed;
  Asked asked;
  if (!parse_options(request.subspan(kHeader), asked)) return DhcpOutcome::kMalformed;
  const std::uint8_t type = request[0];
  if (type == kSolicit || (type >= kRequest && type <= kDecline && type != kReply))
    return DhcpOutcome::kNoReply;
  if (type != kInformationRequest) return DhcpOutcome::kMalformed;
  // RFC 8415, 16.12
  static constexpr auto kServerDuid = make_server_duid();
  if (asked.wants_addresses) return DhcpOutcome::kMalformed;
  if (asked.server && !std::ranges::equal(*asked.server, kServerDuid)) return DhcpOutcome::kNoReply;

  std::copy_n(request.begin(), kHeader, reply.message.begin());
  reply.message[0] = kReply;
  reply.bytes = kHeader;
  put_option(reply, kServerId, kServerDuid);
  if (!asked.client.empty()) put_option(reply, kClientId, asked.client);
  std::array<std::uint8_t, 16> server;
  kDnsIp6.store(server.data());
  put_option(reply, kNameServers, server);
  return DhcpOutcome::kReply;
}

}  // namespace glassbox::net
