// A network namespace of the test's own, for what a test may not do to the machine it runs on: addresses,
// routes, sysctls. The thread that made it lives in it until the object goes; its capabilities come back too.
#pragma once

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fcntl.h>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "net/host/socket_address.h"
#include "net/inet.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// As <linux/ipv6.h> has it, which does not go with <netinet/in.h>.
struct in6_ifreq {
  in6_addr ifr6_addr;
  std::uint32_t ifr6_prefixlen;
  int ifr6_ifindex;
};

class PrivateNet {
 public:
  static constexpr Ipv4 kAddress = ipv4(192, 0, 2, 7);                // of the namespace's own
  static constexpr IpAddress kAddress6 = {0x2001'0db8'0000'0000, 7};  // the same
  static constexpr Ipv4 kUnreachable = ipv4(203, 0, 113, 9);          // a route says so
  static constexpr Ipv4 kNoRoute = ipv4(198, 51, 100, 9);

  PrivateNet() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    ok = before_ && ::unshare(CLONE_NEWNET) == 0;
    if (!ok) return;
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    ok = ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
    request = {};
    std::strcpy(request.ifr_name, "lo:1");
    set_address(request.ifr_addr, kAddress);
    ok = ok && ::ioctl(socket.get(), SIOCSIFADDR, &request) == 0;
    has_ipv6 = add_address6(kAddress6, 128);
    rtentry route{};
    set_address(route.rt_dst, kUnreachable & ~Ipv4{255});
    set_address(route.rt_genmask, ~Ipv4{255});
    route.rt_flags = RTF_REJECT | RTF_UP;
    ok = ok && ::ioctl(socket.get(), SIOCADDRT, &route) == 0;
  }
  ~PrivateNet() {
    if (header_.version != 0) ::syscall(SYS_capset, &header_, &capabilities_);
    if (before_) ::setns(before_.get(), CLONE_NEWNET);
  }
  PrivateNet(const PrivateNet&) = delete;
  PrivateNet& operator=(const PrivateNet&) = delete;

  bool has_ipv6 = false;
  bool ok = false;  // false: no right to make a namespace here

  // One more of the namespace's own.
  static bool add_address6(const IpAddress& address, unsigned prefix) {
    const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    in6_ifreq request{};
    address.store(&request.ifr6_addr.s6_addr[0]);
    request.ifr6_prefixlen = prefix;
    request.ifr6_ifindex = static_cast<int>(::if_nametoindex("lo"));
    if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0) return false;
    if (!is_link_local6(address)) wait_until_usable(address);
    return true;
  }
  // Of the loopback interface.
  static bool set_mtu(int mtu) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = mtu;
    return ::ioctl(socket.get(), SIOCSIFMTU, &request) == 0;
  }
  // kAddress goes.
  static void drop_address() {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo:1");
    ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);
  }
  // Packets for this network of 256 addresses go out and reach no host.
  static void route_nowhere(Ipv4 network) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    rtentry route{};
    set_address(route.rt_dst, network);
    set_address(route.rt_genmask, ~Ipv4{255});
    route.rt_flags = RTF_UP;
    std::string lo = "lo";
    route.rt_dev = lo.data();
    ASSERT_EQ(::ioctl(socket.get(), SIOCADDRT, &route), 0);
  }

  // Who may open ping sockets.
  void set_ping_groups(const std::string& range) {
    const UniqueFd fd(::open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC));
    ok = ::write(fd.get(), range.data(), range.size()) == static_cast<ssize_t>(range.size());
  }
  // Nor raw ones.
  void drop_raw_capability() {
    header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
    ::syscall(SYS_capget, &header_, &capabilities_);
    __user_cap_data_struct fewer[2] = {capabilities_[0], capabilities_[1]};
    fewer[0].effective &= ~(1U << CAP_NET_RAW);
    ok = ::syscall(SYS_capset, &header_, &fewer) == 0;
  }

 private:
  // The kernel ends the tentative state of a new address and adds its route from a work queue, on lo as well:
  // until then nobody answers for it. Bounded; a test that needs the address fails by itself.
  static void wait_until_usable(const IpAddress& own) {
    const SocketAddress address(own, 0);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      const UniqueFd from(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));  // EADDRNOTAVAIL: tentative
      const UniqueFd to(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));    // ENETUNREACH: no route yet
      const SocketAddress target(own, 9);
      if (::bind(from.get(), address.get(), address.length()) == 0 &&
          ::connect(to.get(), target.get(), target.length()) == 0)
        return;
      std::this_thread::yield();
    }
  }
  static void set_address(sockaddr& out, Ipv4 address) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    std::memcpy(&out, &in, sizeof(in));
  }
  UniqueFd before_;
  __user_cap_header_struct header_{};
  __user_cap_data_struct capabilities_[2] = {};
};

}  // namespace glassbox::net
