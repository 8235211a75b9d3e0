#include "net/udp_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/host_error.h"
#include "net/port_listener.h"
#include "net/socket_address.h"

namespace glassbox::net {

Result<std::unique_ptr<UdpListener>> UdpListener::create(const PublishedPort& port, EventLoop& loop,
                                                         const DestinationPolicy& policy, Udp& udp) {
  const SocketAddress address(IpAddress::from_v4(port.address), port.host_port);
  UniqueFd fd(::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || ::bind(fd.get(), address.get(), address.length()) != 0) {
    return fail_errno(errno, "cannot publish {}", name_of(port));
  }
  queue_host_errors(fd.get(), address.family() == AF_INET6);
  std::unique_ptr<UdpListener> listener(new UdpListener(port.guest_port, loop, policy, udp, std::move(fd)));
  GB_TRY(loop.add(listener->fd_.get(), EPOLLIN | EPOLLET, listener.get()));
  return listener;
}

FlowKey UdpListener::key_of(const IpAddress& peer, std::uint16_t port) const {
  const bool own = policy_.is_own(peer.v4());
  return {IpAddress::from_v4(kGuestIp), own ? IpAddress::from_v4(kGatewayIp) : peer, guest_port_, port};
}

void UdpListener::ask_again() {
  // It was registered before: what could fail is memory alone, and then the next datagram brings an edge.
  [[maybe_unused]] const auto status = loop_.modify(fd_.get(), EPOLLIN | EPOLLET, this);
}

}  // namespace glassbox::net
