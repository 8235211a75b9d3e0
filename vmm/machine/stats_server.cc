#include "vmm/machine/stats_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "bpf/reasons.h"
#include "vmm/base/socket_address.h"

namespace glassbox {
namespace {

bool may_ask(int connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

// Of the reasons that occurred.
template <std::size_t N>
nlohmann::json by_reason(const std::array<std::uint64_t, N>& counts,
                         const std::array<std::string_view, N>& names) {
  nlohmann::json result = nlohmann::json::object();
  for (std::size_t i = 1; i < N; ++i)
    if (counts.at(i) != 0) result[std::string(names.at(i))] = counts.at(i);
  return result;
}

}  // namespace

Result<std::unique_ptr<StatsServer>> StatsServer::create(net::EventLoop& loop,
                                                         const std::filesystem::path& path,
                                                         std::function<std::string()> text) {
  GB_ASSIGN(const sockaddr_un address, unix_address(path.string()));
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return fail_errno(errno, "cannot make a UNIX socket");
  ::unlink(path.c_str());
  if (::bind(listener.get(), as_sockaddr(address), sizeof(address)) != 0 || ::listen(listener.get(), 16) != 0)
    return fail_errno(errno, "cannot listen at {}", path.string());
  std::unique_ptr<StatsServer> server(new StatsServer(loop, std::move(listener), std::move(text)));
  GB_TRY(loop.add(server->listener_.get(), EPOLLIN, server.get()));
  return server;
}

// One connection an event: the registration is level-triggered, so that the others come with the next turn.
void StatsServer::on_fd_ready(std::uint32_t /*events*/) {
  const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection || !may_ask(connection.get())) return;
  const std::string text = text_();
  (void)!::send(connection.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

nlohmann::json stats_of(const net::NatCounters& c) {
  nlohmann::json stats = {
      {"guest_frames", c.guest_frames},
      {"flows_opened", c.flows_opened},
      {"flows_open", c.flows_open},
      {"flows_connecting", c.flows_connecting},
      {"udp_flows_opened", c.udp_flows_opened},
      {"udp_flows_open", c.udp_flows_open},
      {"echo_flows_opened", c.echo_flows_opened},
      {"echo_flows_open", c.echo_flows_open},
      {"dns_queries", c.dns_queries},
      {"dns_cached", c.dns_cached},
      {"dns_forwarded", c.dns_forwarded},
      {"dns_failed", c.dns_failed},
      {"dns_rejected", c.dns_rejected},
      {"icmp_errors_passed", c.icmp_errors_passed},
      {"retransmissions", c.retransmissions},
      {"overflow_bytes", c.overflow_bytes},
      {"bytes_in", c.bytes_in},
      {"bytes_out", c.bytes_out},
  };
  stats["closed"] = by_reason(c.closed, kCloseReasonNames);
  stats["refused"] = by_reason(c.refused, kRefuseReasonNames);
  stats["dropped"] = by_reason(c.dropped, kDropReasonNames);
  return stats;
}

}  // namespace glassbox
