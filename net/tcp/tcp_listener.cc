#include "net/tcp/tcp_listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/host/socket_address.h"
#include "vmm/base/clock.h"

namespace glassbox::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
constexpr std::uint64_t kRetryNs = kNsPerSecond;
constexpr int kAcceptsPerEvent = 64;

}  // namespace

Result<std::unique_ptr<TcpListener>> TcpListener::create(const PublishedPort& port, EventLoop& loop,
                                                         GuestLink& link, const DestinationPolicy& policy,
                                                         Tcp& tcp) {
  const SocketAddress address(port.address, port.host_port);
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot publish {}", host_side_of(port));
  const int on = 1;
  // Ports in TIME_WAIT may be bound, but not a port with a listener (socket(7)).
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // :: takes IPv6 alone, so that 0.0.0.0 can be published as well.
  if (address.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (::bind(fd.get(), address.get(), address.length()) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, "cannot publish {}", host_side_of(port));
  }
  std::unique_ptr<TcpListener> listener(
      new TcpListener(port.guest_port, loop, link, policy, tcp, std::move(fd)));
  GB_TRY(loop.add(listener->fd_.get(), EPOLLIN | EPOLLET, listener.get()));
  return listener;
}

void TcpListener::on_deadline() {
  if (retry_ns_ != 0 && loop_.now_ns() >= retry_ns_) on_fd_ready(0);
}

// Without descriptors or memory the connections wait in the backlog. There may never be another edge, so
// accepting is tried again after kRetryNs.
void TcpListener::on_fd_ready(std::uint32_t /*events*/) {
  retry_ns_ = 0;
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    SocketAddress peer;
    UniqueFd fd(::accept4(fd_.get(), peer.get(), peer.length_out(), SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno != EAGAIN) retry_ns_ = loop_.now_ns() + kRetryNs;
      return;
    }
    FlowKey key;
    key.dst = policy_.seen_by_guest(peer.address());
    key.dst_port = peer.port();
    key.guest = key.dst.is_v4() ? IpAddress::from_v4(kGuestIp) : link_.guest_ip6();
    key.guest_port = guest_port_;
    tcp_.open_from_host(std::move(fd), key);
  }
  // The rest can wait for the next turn.
  if (!loop_.rearm(fd_.get(), EPOLLIN | EPOLLET, this)) retry_ns_ = loop_.now_ns() + kRetryNs;
}

}  // namespace glassbox::net
