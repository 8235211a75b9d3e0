#include "tools/bench/net/servers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kRelayChunk = 256 * 1024;

// One direction of the relay; false once it has ended.
bool pass_on(int from, int to, std::vector<char>& buffer) {
  const ssize_t n = ::recv(from, buffer.data(), buffer.size(), 0);
  if (n <= 0) {
    ::shutdown(to, SHUT_WR);
    return false;
  }
  for (ssize_t done = 0; done < n;) {
    const ssize_t sent = ::send(to, buffer.data() + done, static_cast<std::size_t>(n - done), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += sent;
  }
  return true;
}

void relay_one(int client, int server, std::vector<char>& buffer) {
  std::array<pollfd, 2> sides = {pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
  while (sides[0].fd >= 0 || sides[1].fd >= 0) {
    if (::poll(sides.data(), sides.size(), -1) < 0) return;
    if (sides[0].revents != 0 && !pass_on(client, server, buffer)) sides[0].fd = -1;
    if (sides[1].revents != 0 && !pass_on(server, client, buffer)) sides[1].fd = -1;
  }
}

Status start(NetServers& servers, std::uint32_t address, std::uint16_t& port, const std::string& what,
             std::vector<std::string> argv) {
  GB_ASSIGN(const UniqueFd listener, listen_on(address));
  GB_ASSIGN(port, bound_port(listener));
  for (std::string& word : argv) {
    if (word == "FD") word = std::to_string(listener.get());
  }
  GB_ASSIGN(auto process, Child::start({.what = what, .argv = std::move(argv), .inherit = {listener.get()}}));
  servers.processes.push_back(std::move(process));
  return {};
}

}  // namespace

Result<NetServers> start_servers(std::uint32_t address) {
  NetServers servers;
  const std::string bench = program("bench_net");
  const std::vector<std::string> echo = {program("gb-echo"), "--listen-fd", "FD"};
  GB_TRY(start(servers, address, servers.crr_port, "the echo server", echo));
  for (std::uint16_t& port : servers.parallel)
    GB_TRY(start(servers, address, port, "an echo server", echo));
  GB_TRY(start(servers, address, servers.port, "the server of streams", {bench, "serve", "FD"}));
  GB_TRY(start(servers, address, servers.hold_port, "the holding server", {bench, "hold", "FD"}));
  GB_TRY(start(servers, address, servers.relay_port, "the relay",
               {bench, "relay", "FD", std::to_string(servers.port)}));
  return servers;
}

void serve_relay(int listener, std::uint16_t port) {
  std::vector<char> buffer(kRelayChunk);
  sockaddr_in peer{};
  socklen_t length = sizeof(peer);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&peer), &length);
  peer.sin_port = htons(port);
  for (;;) {
    const UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!client || ::connect(server.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0)
      continue;
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    relay_one(client.get(), server.get(), buffer);
  }
}

void serve_hold(int listener) {
  raise_descriptor_limit();
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<bool> kept;  // by fd
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = fd == listener ? EPOLLIN : EPOLLIN | EPOLLET;
    event.data.fd = fd;
    ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  for (;;) {
    epoll_event event{};
    if (::epoll_wait(epoll.get(), &event, 1, -1) != 1) continue;
    const int fd = event.data.fd;
    if (fd == listener) {
      const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (connection >= 0) watch(connection);
      continue;
    }
    if (static_cast<std::size_t>(fd) >= kept.size()) kept.resize(static_cast<std::size_t>(fd) + 1);
    for (;;) {
      char op = 0;
      const ssize_t n = ::recv(fd, &op, 1, 0);
      if (n == 1) {
        kept[static_cast<std::size_t>(fd)] = true;
        if (op == kOpShut) ::shutdown(fd, SHUT_WR);
        continue;
      }
      if (n == 0 && !kept[static_cast<std::size_t>(fd)]) ::close(fd);
      break;
    }
  }
}

}  // namespace glassbox::bench
