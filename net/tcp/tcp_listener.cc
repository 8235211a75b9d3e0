#include "net/tcp/tcp_listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/host/socket_address.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel's own limit cuts it
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
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // over TIME_WAIT, not over a listener
  // :: is all of IPv6 and none of IPv4, so that it can be published beside 0.0.0.0.
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

// Out of descriptors or memory, the rest waits in the backlog. Another connection's edge may never come: it
// is looked at again after a while.
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
  // More than a turn should take: the edge is asked for again.
  if (!loop_.modify(fd_.get(), EPOLLIN | EPOLLET, this)) retry_ns_ = loop_.now_ns() + kRetryNs;
}

}  // namespace glassbox::net
