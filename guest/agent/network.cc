#include "guest/agent/network.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <fstream>

#include "net/config/ipv6_interface.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {
namespace {

constexpr const char* kInterface = "eth0";
constexpr const char* kAddress = "10.0.2.15";
constexpr const char* kNetmask = "255.255.255.0";
constexpr const char* kGateway = "10.0.2.2";
// Only a device that never reports a link makes the agent wait this long.
constexpr int kCarrierTimeoutMs = 2000;

sockaddr_in ipv4(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

ifreq request_for(const char* interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  return request;
}

Status set_address(int fd, unsigned long what, const char* address) {
  ifreq request = request_for(kInterface);
  const sockaddr_in value = ipv4(address);
  std::memcpy(&request.ifr_addr, &value, sizeof(value));
  if (::ioctl(fd, what, &request) < 0) return fail_errno(errno, "cannot set {} on {}", address, kInterface);
  return {};
}

Status set_up(int fd, const char* interface) {
  ifreq request = request_for(interface);
  if (::ioctl(fd, SIOCGIFFLAGS, &request) < 0)
    return fail_errno(errno, "cannot read the flags of network interface {}", interface);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(fd, SIOCSIFFLAGS, &request) < 0) return fail_errno(errno, "cannot set {} up", interface);
  return {};
}

Status add_default_route(int fd) {
  rtentry route{};
  const sockaddr_in any = ipv4("0.0.0.0");
  const sockaddr_in gateway = ipv4(kGateway);
  std::memcpy(&route.rt_dst, &any, sizeof(any));
  std::memcpy(&route.rt_genmask, &any, sizeof(any));
  std::memcpy(&route.rt_gateway, &gateway, sizeof(gateway));
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (::ioctl(fd, SIOCADDRT, &route) < 0)
    return fail_errno(errno, "cannot add the default route by {}", kGateway);
  return {};
}

bool running(int fd) {
  ifreq request = request_for(kInterface);
  return ::ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0;
}

// A netlink socket that reports link changes. Must be opened before the change that the caller waits for.
UniqueFd link_events() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) fd.reset();
  return fd;
}

}  // namespace

Status bring_up_network() {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot make an IPv4 socket");
  GB_TRY(set_up(fd.get(), "lo"));
  net::quiet_ipv6(kInterface);
  std::ofstream("/proc/sys/net/ipv4/ping_group_range") << "0 2147483647";
  GB_TRY(set_address(fd.get(), SIOCSIFADDR, kAddress));
  GB_TRY(set_address(fd.get(), SIOCSIFNETMASK, kNetmask));
  const UniqueFd events = link_events();
  GB_TRY(set_up(fd.get(), kInterface));
  GB_TRY(add_default_route(fd.get()));
  while (!running(fd.get())) {
    pollfd event{events.get(), POLLIN, 0};
    if (::poll(&event, 1, kCarrierTimeoutMs) <= 0)
      return fail("{} has no carrier after {} ms", kInterface, kCarrierTimeoutMs);
    std::array<char, 8192> message;
    (void)::recv(events.get(), message.data(), message.size(), MSG_DONTWAIT);
  }
  GB_ASSIGN([[maybe_unused]] const bool ipv6, net::configure_ipv6(kInterface));
  return {};
}

}  // namespace glassbox::agent
