#include "net/port_listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace glassbox::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel's own limit cuts it

}  // namespace

std::string name_of(const PublishedPort& port) {
  const Ipv4 a = port.address;
  return fmt::format("{}.{}.{}.{}:{}{}", a >> 24, (a >> 16) & 255, (a >> 8) & 255, a & 255, port.host_port,
                     port.udp ? "/udp" : "");
}

Result<std::unique_ptr<PortListener>> PortListener::create(const PublishedPort& port, EventLoop& loop,
                                                           const DestinationPolicy& policy, Tcp& tcp) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot publish {}", name_of(port));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // over TIME_WAIT, not over a listener
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port.host_port);
  address.sin_addr.s_addr = htonl(port.address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, "cannot publish {}", name_of(port));
  }
  std::unique_ptr<PortListener> listener(new PortListener(port.guest_port, loop, policy, tcp, std::move(fd)));
  GB_TRY(loop.add(listener->fd_.get(), EPOLLIN | EPOLLET, listener.get()));
  return listener;
}

// Out of descriptors, the rest waits in the backlog for the next connection's edge.
void PortListener::on_fd_ready(std::uint32_t /*events*/) {
  for (;;) {
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    UniqueFd fd(
        ::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    const Ipv4 address = ntohl(peer.sin_addr.s_addr);
    FlowKey key;
    key.guest = IpAddress::from_v4(kGuestIp);
    key.guest_port = guest_port_;
    key.dst = IpAddress::from_v4(policy_.is_own(address) ? kGatewayIp : address);
    key.dst_port = ntohs(peer.sin_port);
    tcp_.open_from_host(std::move(fd), key);
  }
}

}  // namespace glassbox::net
