#include "net/icmp/echo_socket.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/host/host_error.h"

namespace glassbox::net {
namespace {

constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

// Lets echo replies alone through, so that other messages do not wake the thread.
void pass_replies_alone(int fd, bool v6) {
  if (v6) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
  } else {
    const icmp_filter filter{~(1U << ICMP_ECHOREPLY)};
    ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
  }
}

}  // namespace

EchoSocket open_echo_socket(bool v6) {
  const int family = v6 ? AF_INET6 : AF_INET;
  const int protocol = v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP};
  EchoSocket echo{UniqueFd(::socket(family, SOCK_DGRAM | kFlags, protocol)), EchoWay::kPing, 0};
  if (!echo.fd) {
    echo = {UniqueFd(::socket(family, SOCK_RAW | kFlags, protocol)), EchoWay::kRaw, 0};
    if (!echo.fd) return {UniqueFd(), EchoWay::kNone, errno};
    pass_replies_alone(echo.fd.get(), v6);
  }
  queue_host_errors(echo.fd.get(), v6);
  return echo;
}

}  // namespace glassbox::net
