#include "net/udp/udp_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/host/host_error.h"
#include "net/host/socket_address.h"

namespace glassbox::net {

Result<std::unique_ptr<UdpListener>> UdpListener::create(const PublishedPort& port, EventLoop& loop,
                                                         GuestLink& link, const DestinationPolicy& policy,
                                                         Receiver& receiver) {
  const SocketAddress address(port.address, port.host_port);
  UniqueFd fd(::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  // :: takes IPv6 alone, so that 0.0.0.0 can be published as well.
  if (address.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (!fd || ::bind(fd.get(), address.get(), address.length()) != 0) {
    return fail_errno(errno, "cannot publish {}", host_side_of(port));
  }
  queue_host_errors(fd.get(), address.family() == AF_INET6);
  std::unique_ptr<UdpListener> listener(new UdpListener(port, loop, link, policy, receiver, std::move(fd)));
  GB_TRY(loop.add(listener->fd_.get(), EPOLLIN | EPOLLET, listener.get()));
  return listener;
}

IpAddress UdpListener::guest() const {
  return v6_ ? link_.guest_ip6() : IpAddress::from_v4(kGuestIp);
}

FlowKey UdpListener::key_of(const IpAddress& peer, std::uint16_t port) const {
  return {guest(), policy_.seen_by_guest(peer), guest_port_, port};
}

void UdpListener::rearm() {
  loop_.rearm(fd_.get(), EPOLLIN | EPOLLET, this);  // if it fails, the next datagram brings an edge
}

}  // namespace glassbox::net
