#include "net/port_listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/address_text.h"
#include "net/socket_address.h"

namespace glassbox::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel's own limit cuts it

}  // namespace

std::string name_of(const PublishedPort& port) {
  return fmt::format("{}{}", to_text(port.address, port.host_port), port.udp ? "/udp" : "");
}

Result<std::unique_ptr<PortListener>> PortListener::create(const PublishedPort& port, EventLoop& loop,
                                                           GuestLink& link, const DestinationPolicy& policy,
                                                           Tcp& tcp) {
  const SocketAddress address(port.address, port.host_port);
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot publish {}", name_of(port));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // over TIME_WAIT, not over a listener
  // :: is all of IPv6 and none of IPv4, so that it can be published beside 0.0.0.0.
  if (address.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (::bind(fd.get(), address.get(), address.length()) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, "cannot publish {}", name_of(port));
  }
  std::unique_ptr<PortListener> listener(
      new PortListener(port.guest_port, loop, link, policy, tcp, std::move(fd)));
  GB_TRY(loop.add(listener->fd_.get(), EPOLLIN | EPOLLET, listener.get()));
  return listener;
}

// Out of descriptors, the rest waits in the backlog for the next connection's edge.
void PortListener::on_fd_ready(std::uint32_t /*events*/) {
  for (;;) {
    SocketAddress peer;
    UniqueFd fd(::accept4(fd_.get(), peer.get(), peer.length_out(), SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    FlowKey key;
    key.dst = policy_.seen_by_guest(peer.address());
    key.dst_port = peer.port();
    key.guest = key.dst.is_v4() ? IpAddress::from_v4(kGuestIp) : link_.guest_ip6();
    key.guest_port = guest_port_;
    tcp_.open_from_host(std::move(fd), key);
  }
}

}  // namespace glassbox::net
