#include "tools/bench/stacks/relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <vector>

#include "net/host/socket_address.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/echo.h"
#include "vmm/base/io.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kChunk = 256 * 1024;
constexpr int kStopLimitMs = 10'000;

// One direction; false once it has ended.
bool pass_on(int from, int to, std::vector<char>& buffer) {
  const ssize_t n = ::recv(from, buffer.data(), buffer.size(), 0);
  if (n > 0) return send_all(to, buffer.data(), static_cast<std::size_t>(n));
  ::shutdown(to, SHUT_WR);
  return false;
}

void relay_connection(int client, int server, std::vector<char>& buffer) {
  std::array<pollfd, 2> sides = {pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
  while (sides[0].fd >= 0 || sides[1].fd >= 0) {
    if (::poll(sides.data(), sides.size(), -1) < 0) return;
    if (sides[0].revents != 0 && !pass_on(client, server, buffer)) sides[0].fd = -1;
    if (sides[1].revents != 0 && !pass_on(server, client, buffer)) sides[1].fd = -1;
  }
}

// One process for each port of the host that a client asks for.
class RelayStack final : public Stack {
 public:
  Status start(Watch& /*watch*/) override { return {}; }
  std::string host() const override { return "127.0.0.1"; }
  ClientPrograms client_programs() const override { return host_client_programs(); }

  Result<std::uint16_t> port_for(std::uint16_t server_port) override {
    if (const auto found = relays_.find(server_port); found != relays_.end()) return found->second.port;
    GB_ASSIGN(const UniqueFd listener, listen_on_loopback(0));
    Relay relay;
    GB_ASSIGN(relay.port, bound_port(listener));
    GB_ASSIGN(relay.process,
              Child::start({.what = "the relay",
                            .argv = {program("glassbox-bench"), "relay", std::to_string(listener.get()),
                                     std::to_string(server_port)},
                            .inherit = {listener.get()}}));
    const std::uint16_t port = relay.port;
    relays_.emplace(server_port, std::move(relay));
    return port;
  }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    return Child::start({.what = "the client", .argv = std::move(argv)});
  }

  pid_t pid() const override { return relays_.empty() ? ::getpid() : relays_.begin()->second.process->pid(); }
  std::vector<pid_t> pids() const override {
    std::vector<pid_t> all;
    for (const auto& [port, relay] : relays_)
      all.push_back(relay.process->pid());
    return all;
  }
  std::vector<Child*> children() override {
    std::vector<Child*> all;
    for (const auto& [port, relay] : relays_)
      all.push_back(relay.process.get());
    return all;
  }

  Status stop() override {
    for (const auto& [port, relay] : relays_)
      relay.process->stop(kStopLimitMs);
    relays_.clear();
    return {};
  }

 private:
  struct Relay {
    std::uint16_t port = 0;
    std::unique_ptr<Child> process;
  };
  std::map<std::uint16_t, Relay> relays_;  // by the server's port
};

}  // namespace

void serve_relay(int listener, std::uint16_t port) {
  std::vector<char> buffer(kChunk);
  const net::SocketAddress peer(net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1)), port);
  for (;;) {
    const UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!client || ::connect(server.get(), peer.get(), peer.length()) != 0) continue;
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    relay_connection(client.get(), server.get(), buffer);
  }
}

std::unique_ptr<Stack> make_relay_stack() {
  return std::make_unique<RelayStack>();
}

}  // namespace glassbox::bench
