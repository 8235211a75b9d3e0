#include "net/policy.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace glassbox::net {
namespace {

constexpr Ipv4 kHostLoopback = ipv4(127, 0, 0, 1);
constexpr std::uint16_t kDnsPort = 53;

UniqueFd watch_addresses() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_IPV4_IFADDR;
  if (fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
  return fd;
}

}  // namespace

Result<std::unique_ptr<DestinationPolicy>> DestinationPolicy::create(const NatConfig& config,
                                                                     EventLoop& loop) {
  std::unique_ptr<DestinationPolicy> policy(new DestinationPolicy(config, loop, watch_addresses()));
  GB_TRY(policy->read_own_addresses());
  if (policy->changes_) GB_TRY(loop.add(policy->changes_.get(), EPOLLIN | EPOLLET, policy.get()));
  return policy;
}

DestinationPolicy::DestinationPolicy(const NatConfig& config, EventLoop& loop, UniqueFd changes)
    : allow_host_loopback_(config.allow_host_loopback),
      loopback_ports_(config.loopback_ports),
      deny_(config.deny),
      dns_(config.dns),
      loop_(loop),
      changes_(std::move(changes)) {}

DestinationPolicy::~DestinationPolicy() {
  if (changes_) loop_.remove(changes_.get());
}

Status DestinationPolicy::read_own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return fail_errno(errno, "cannot read the host's own addresses");
  own_.clear();
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, entry->ifa_addr, sizeof(address));
    own_.push_back(ntohl(address.sin_addr.s_addr));
  }
  ::freeifaddrs(list);
  std::sort(own_.begin(), own_.end());
  return {};
}

void DestinationPolicy::on_fd_ready(std::uint32_t /*events*/) {
  std::array<char, 4096> discarded;
  while (::recv(changes_.get(), discarded.data(), discarded.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
  }
  // On failure the old list stays: it closes at least what it closed before.
  [[maybe_unused]] const auto status = read_own_addresses();
}

bool DestinationPolicy::is_own(Ipv4 address) const {
  return in_net(address, ipv4(127, 0, 0, 0), 8) || std::binary_search(own_.begin(), own_.end(), address);
}

bool DestinationPolicy::loopback_open(std::uint16_t port) const {
  if (!allow_host_loopback_) return false;
  return loopback_ports_.empty() ||
         std::find(loopback_ports_.begin(), loopback_ports_.end(), port) != loopback_ports_.end();
}

DestinationPolicy::Verdict DestinationPolicy::check(Ipv4 destination, std::uint16_t port) {
  for (const Cidr& cidr : deny_) {
    if (in_net(destination, cidr.network, cidr.prefix)) return {RefuseReason::kDenied};
  }
  if (destination == kDnsIp && port == kDnsPort) {
    const auto server = dns_ ? dns_ : resolver_.address(loop_.now_ns());
    if (!server) return {RefuseReason::kUnreachable};
    return {RefuseReason::kNone, *server, is_own(*server), true};
  }
  if (destination == kGatewayIp) {
    if (!loopback_open(port)) return {RefuseReason::kHostLoopbackClosed};
    return {RefuseReason::kNone, kHostLoopback, true};
  }
  // Never valid on a wire, so refused even when loopback is open (RFC 1122, 3.2.1.3).
  if (in_net(destination, ipv4(127, 0, 0, 0), 8) || in_net(destination, 0, 8)) {
    return {RefuseReason::kHostLoopbackClosed};
  }
  if (in_net(destination, kNetwork, kNetworkPrefix)) return {RefuseReason::kUnreachable};
  if (in_net(destination, ipv4(224, 0, 0, 0), 3)) return {RefuseReason::kBadDestination};
  if (is_own(destination)) {
    if (!loopback_open(port)) return {RefuseReason::kHostAddressClosed};
    return {RefuseReason::kNone, destination, true};
  }
  return {RefuseReason::kNone, destination, false};
}

}  // namespace glassbox::net
