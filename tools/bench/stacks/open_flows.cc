#include "tools/bench/stacks/open_flows.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "vmm/base/descriptor_limit.h"
#include "vmm/base/io.h"

namespace glassbox::bench {
namespace {

// The client's first byte: keep the connection though the client ends its direction; end the server's own.
constexpr char kKeep = 'K';
constexpr char kShut = 'S';
constexpr time_t kLimitS = 5;  // for one connection of many

Result<UniqueFd> connect_to(const net::SocketAddress& peer) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  const timeval limit{kLimitS, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  // Closed with a reset: TIME_WAIT would use up the local ports of the next round.
  const linger reset{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  if (::connect(fd.get(), peer.get(), peer.length()) < 0) return fail_errno(errno, "connect");
  return fd;
}

Status open_idle(const net::SocketAddress& peer, std::uint32_t count, std::vector<UniqueFd>& flows) {
  for (std::uint32_t i = 0; i < count; ++i) {
    auto fd = connect_to(peer);
    if (!fd) return fail("connection {} of {}: {}", i + 1, count, fd.error().message);
    flows.push_back(std::move(*fd));
  }
  return {};
}

Status open_half_closed(const net::SocketAddress& peer, std::vector<UniqueFd>& flows) {
  for (const char first : {kKeep, kShut}) {
    GB_ASSIGN(UniqueFd fd, connect_to(peer));
    if (!send_all(fd.get(), &first, 1)) return fail_errno(errno, "send");
    char end = 0;
    if (first == kKeep) ::shutdown(fd.get(), SHUT_WR);
    if (first == kShut && ::recv(fd.get(), &end, 1, 0) != 0)
      return fail("the server did not end its direction");
    flows.push_back(std::move(fd));
  }
  return {};
}

class OpenFlowsServer {
 public:
  explicit OpenFlowsServer(int listener) : listener_(listener), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    watch(listener, EPOLLIN);
  }

  void serve_next() {
    epoll_event event{};
    if (::epoll_wait(epoll_.get(), &event, 1, -1) != 1) return;
    if (event.data.fd != listener_) return take_bytes(event.data.fd);
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) return;
    keep_.resize(std::max(keep_.size(), static_cast<std::size_t>(connection) + 1));
    keep_[static_cast<std::size_t>(connection)] = false;
    watch(connection, EPOLLIN | EPOLLET);
  }

 private:
  void watch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void take_bytes(int fd) {
    char first = 0;
    ssize_t n = 0;
    while ((n = ::recv(fd, &first, 1, 0)) == 1) {
      keep_[static_cast<std::size_t>(fd)] = true;
      if (first == kShut) ::shutdown(fd, SHUT_WR);
    }
    const bool reset = n < 0 && errno != EAGAIN && errno != EINTR;
    if (reset || (n == 0 && !keep_[static_cast<std::size_t>(fd)])) ::close(fd);
  }

  int listener_;
  UniqueFd epoll_;
  std::vector<bool> keep_;  // by descriptor
};

}  // namespace

void serve_open_flows(int listener) {
  raise_descriptor_limit();
  OpenFlowsServer server(listener);
  for (;;)
    server.serve_next();
}

int keep_flows_open(const std::string& host, std::uint16_t port, std::uint32_t count) {
  raise_descriptor_limit();
  const auto endpoint = net::endpoint_from_text(fmt::format("{}:{}", host, port));
  if (!endpoint) {
    fmt::print(stderr, "open-flows: {} is not an IPv4 address\n", host);
    return 1;
  }
  const net::SocketAddress peer(endpoint->address, endpoint->port);
  std::vector<UniqueFd> flows;
  const Status opened = count == 0 ? open_half_closed(peer, flows) : open_idle(peer, count, flows);
  if (!opened) {
    fmt::print(stderr, "open-flows: {}\n", opened.error().message);
    return 1;
  }
  fmt::print("{} flows are open\n", flows.size());
  std::fflush(stdout);
  for (;;)
    ::pause();
}

}  // namespace glassbox::bench
