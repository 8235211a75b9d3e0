#include "net/host/host_error.h"

// clang-format off
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/errqueue.h>
// clang-format on

#include <array>
#include <cstring>

#include "net/host/socket_address.h"

namespace glassbox::net {

void queue_host_errors(int fd, bool v6, bool wanted) {
  const int on = wanted ? 1 : 0;
  if (v6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
  } else {
    ::setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
  }
}

bool take_host_error(int fd, std::span<std::uint8_t> quotation, HostError& error) {
  for (;;) {
    alignas(cmsghdr) std::array<char, 256> control;
    SocketAddress destination;
    iovec piece{quotation.data(), quotation.size()};
    msghdr message{};
    message.msg_name = destination.get();
    message.msg_namelen = destination.length();
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t bytes = ::recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (bytes < 0) return false;
    for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(&message, entry)) {
      const bool about_error = (entry->cmsg_level == IPPROTO_IP && entry->cmsg_type == IP_RECVERR) ||
                               (entry->cmsg_level == IPPROTO_IPV6 && entry->cmsg_type == IPV6_RECVERR);
      if (!about_error) continue;
      sock_extended_err what{};
      std::memcpy(&what, CMSG_DATA(entry), sizeof(what));
      // Errors of the host itself were returned by the call that caused them.
      if (what.ee_origin != SO_EE_ORIGIN_ICMP && what.ee_origin != SO_EE_ORIGIN_ICMP6) break;
      SocketAddress offender;
      const std::size_t room = entry->cmsg_len - CMSG_LEN(sizeof(what));
      std::memcpy(offender.get(), CMSG_DATA(entry) + sizeof(what), std::min(room, sizeof(sockaddr_in6)));
      error = {what.ee_type,
               what.ee_code,
               what.ee_info,
               offender.address(),
               destination.address(),
               destination.port(),
               static_cast<std::size_t>(bytes)};
      return true;
    }
  }
}

}  // namespace glassbox::net
