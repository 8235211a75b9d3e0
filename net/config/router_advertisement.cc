#include "net/config/router_advertisement.h"

#include <sys/socket.h>

#include <algorithm>

#include "net/host/socket_address.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr std::uint8_t kType = 134;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint8_t kOtherConfiguration = 0x40;  // M 0, O 1: DHCPv6 without addresses
constexpr std::uint32_t kForever = 0xffff'ffff;

// Options. Their lengths are in units of 8 bytes.
enum Option : std::uint8_t { kSourceLinkAddress = 1, kPrefix = 3, kMtu = 5, kNameServers = 25 };
constexpr std::uint8_t kOnLink = 0x80, kAutonomous = 0x40;

}  // namespace

void put_router_advertisement(std::span<std::uint8_t, kRouterAdvertisement> out, std::uint16_t mtu,
                              bool default_router) {
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  out[0] = kType;
  out[4] = kHopLimit;
  out[5] = kOtherConfiguration;
  store_be16(&out[6], default_router ? kRouterLifetimeSeconds : std::uint16_t{0});

  const auto address = out.subspan<16, 8>();
  address[0] = kSourceLinkAddress;
  address[1] = 1;
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), address.begin() + 2);

  const auto size = out.subspan<24, 8>();
  size[0] = kMtu;
  size[1] = 1;
  store_be32(&size[4], mtu);

  const auto prefix = out.subspan<32, 32>();
  prefix[0] = kPrefix;
  prefix[1] = 4;
  prefix[2] = kNetwork6Prefix;
  prefix[3] = kOnLink | kAutonomous;
  store_be32(&prefix[4], kForever);
  store_be32(&prefix[8], kForever);
  store_be64(&prefix[16], kNetwork6);

  const auto servers = out.subspan<64, 24>();
  servers[0] = kNameServers;
  servers[1] = 3;
  store_be32(&servers[4], kForever);
  kDnsIp6.store(&servers[8]);
}

bool host_reaches_ipv6() {
  const UniqueFd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // Any address of the global unicast space will do (RFC 4291, 2.4): a default route covers all of it.
  const SocketAddress somewhere(IpAddress{0x2000'0000'0000'0000, 1}, 9);
  return fd && ::connect(fd.get(), somewhere.get(), somewhere.length()) == 0;
}

}  // namespace glassbox::net
