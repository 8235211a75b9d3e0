#include "net/policy.h"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "net/host/socket_address.h"

namespace glassbox::net {
namespace {

constexpr IpAddress kHostLoopback = IpAddress::from_v4(ipv4(127, 0, 0, 1));
constexpr Cidr kLoopback = Cidr::v4(ipv4(127, 0, 0, 0), 8);
constexpr Cidr kGuestNetwork = Cidr::v4(kNetwork, kNetworkPrefix);

// Reach the host and are never valid on a wire (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2 and 2.5.3).
bool is_loopback_or_none(const IpAddress& address) {
  return kLoopback.contains(address) || Cidr::v4(0, 8).contains(address) || address == kUnspecified6 ||
         address == kLoopback6;
}

// Multicast, reserved, and IPv4-compatible addresses (deprecated, RFC 4291, 2.5.5.1).
bool cannot_be_connected_to(const IpAddress& address) {
  return Cidr::v4(ipv4(224, 0, 0, 0), 3).contains(address) || is_multicast6(address) ||
         in_net(address, kUnspecified6, 96);
}

// A router answers for the all-zeros address of its network as well (subnet-router anycast, RFC 4291, 2.6.1).
IpAddress network_of(const IpAddress& address, const IpAddress& mask) {
  return {address.hi & mask.hi, address.lo & mask.lo};
}

std::optional<IpAddress> ip_of(const sockaddr* address) {
  if (address == nullptr || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) return {};
  SocketAddress copy;
  std::memcpy(copy.get(), address,
              address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  return copy.address();
}

UniqueFd watch_addresses() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
  return fd;
}

}  // namespace

Result<std::unique_ptr<DestinationPolicy>> DestinationPolicy::create(const NatConfig& config,
                                                                     EventLoop& loop) {
  std::unique_ptr<DestinationPolicy> policy(new DestinationPolicy(config, loop, watch_addresses()));
  GB_ASSIGN(policy->own_, read_own_addresses());
  if (policy->changes_) GB_TRY(loop.add(policy->changes_.get(), EPOLLIN | EPOLLET, policy.get()));
  return policy;
}

DestinationPolicy::DestinationPolicy(const NatConfig& config, EventLoop& loop, UniqueFd changes)
    : allow_host_loopback_(config.allow_host_loopback),
      loopback_ports_(config.loopback_ports),
      deny_(config.deny),
      resolver_(config.dns),
      loop_(loop),
      changes_(std::move(changes)) {}

DestinationPolicy::~DestinationPolicy() {
  if (changes_) loop_.remove(changes_.get());
}

Result<DestinationPolicy::OwnAddresses> DestinationPolicy::read_own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return fail_errno(errno, "cannot read the host's own addresses");
  OwnAddresses own;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const auto address = ip_of(entry->ifa_addr);
    if (!address) continue;
    own.addresses.push_back(*address);
    const auto mask = ip_of(entry->ifa_netmask);
    if (mask && !address->is_v4() && mask->lo != ~std::uint64_t{0}) {
      own.addresses.push_back(network_of(*address, *mask));
    }
    if (mask && address->is_v4() && (entry->ifa_flags & IFF_LOOPBACK) != 0) {
      own.networks.push_back(Cidr::v4(address->v4(), static_cast<unsigned>(std::popcount(mask->v4()))));
    }
  }
  ::freeifaddrs(list);
  std::sort(own.addresses.begin(), own.addresses.end());
  return own;
}

void DestinationPolicy::on_fd_ready(std::uint32_t /*events*/) {
  std::array<char, 4096> discarded;
  while (::recv(changes_.get(), discarded.data(), discarded.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
  }
  // If reading fails the old addresses stay closed.
  if (auto own = read_own_addresses()) own_ = std::move(*own);
}

bool DestinationPolicy::is_own(const IpAddress& address) const {
  return kLoopback.contains(address) || address == kLoopback6 ||
         std::binary_search(own_.addresses.begin(), own_.addresses.end(), address) ||
         std::any_of(own_.networks.begin(), own_.networks.end(),
                     [&address](const Cidr& network) { return network.contains(address); });
}

IpAddress DestinationPolicy::seen_by_guest(const IpAddress& peer) const {
  if (peer.is_v4()) {
    return is_own(peer) || kGuestNetwork.contains(peer) ? IpAddress::from_v4(kGatewayIp) : peer;
  }
  return is_own(peer) || is_link_local6(peer) || is_guest_network6(peer) ? kGatewayIp6 : peer;
}

bool DestinationPolicy::loopback_open(std::uint16_t port) const {
  if (!allow_host_loopback_) return false;
  return loopback_ports_.empty() ||
         std::find(loopback_ports_.begin(), loopback_ports_.end(), port) != loopback_ports_.end();
}

DestinationPolicy::Ruling DestinationPolicy::check(const IpAddress& destination, std::uint16_t port) {
  for (const Cidr& cidr : deny_) {
    if (cidr.contains(destination)) return {RefuseReason::kDenied, {}};
  }
  const bool v4 = destination.is_v4();
  if (port == kDnsPort && destination == (v4 ? IpAddress::from_v4(kDnsIp) : kDnsIp6)) {
    const auto servers = name_servers();
    if (servers.empty()) return {RefuseReason::kUnreachable, {}};
    return {RefuseReason::kNone, servers.front(), is_own(servers.front()), true};
  }
  if (destination == (v4 ? IpAddress::from_v4(kGatewayIp) : kGatewayIp6)) {
    if (!loopback_open(port)) return {RefuseReason::kHostLoopbackClosed, {}};
    return {RefuseReason::kNone, v4 ? kHostLoopback : kLoopback6, true};
  }
  if (is_loopback_or_none(destination)) return {RefuseReason::kHostLoopbackClosed, {}};
  if (kGuestNetwork.contains(destination) || is_guest_network6(destination)) {
    return {RefuseReason::kUnreachable, {}};
  }
  if (cannot_be_connected_to(destination)) return {RefuseReason::kBadDestination, {}};
  if (is_own(destination)) {
    if (!loopback_open(port)) return {RefuseReason::kHostAddressClosed, {}};
    return {RefuseReason::kNone, destination, true};
  }
  // No router forwards it (RFC 4291, 2.5.6), and without a zone it does not name a host.
  if (is_link_local6(destination)) return {RefuseReason::kUnreachable, {}};
  return {RefuseReason::kNone, destination, false};
}

}  // namespace glassbox::net
