// A UDP client and server for guests: busybox has none. Statically linked.
//   datagram say [ADDRESS]:PORT TEXT   sends TEXT, again every 2 s, until an answer comes; prints the answer
//   datagram echo [ADDRESS]:PORT       answers each datagram with "PEER said TEXT"
#include <poll.h>
#include <sys/socket.h>

#include <cstdio>
#include <string>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

std::string text_from(int fd, net::SocketAddress& peer) {
  std::string text(2000, '\0');
  const ssize_t n = ::recvfrom(fd, text.data(), text.size(), 0, peer.get(), peer.length_out());
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

int say(const UniqueFd& fd, const net::SocketAddress& to, const std::string& text) {
  net::SocketAddress peer;
  for (int times = 0; times < 30; ++times) {
    ::sendto(fd.get(), text.data(), text.size(), 0, to.get(), to.length());
    pollfd ready{fd.get(), POLLIN, 0};
    if (::poll(&ready, 1, 2000) <= 0) continue;
    std::puts(text_from(fd.get(), peer).c_str());
    return 0;
  }
  return 1;
}

int echo(const UniqueFd& fd, const net::SocketAddress& at) {
  if (::bind(fd.get(), at.get(), at.length()) != 0) return 1;
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    net::SocketAddress peer;
    const std::string text = text_from(fd.get(), peer);
    const std::string answer = net::to_text(peer.address()) + " said " + text;
    ::sendto(fd.get(), answer.data(), answer.size(), 0, peer.get(), peer.length());
  }
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  using namespace glassbox;
  const auto endpoint = argc > 2 ? net::endpoint_from_text(argv[2]) : std::nullopt;
  if (!endpoint) return 2;
  const net::SocketAddress address(endpoint->address, endpoint->port);
  const UniqueFd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return argc > 3 ? say(fd, address, argv[3]) : echo(fd, address);
}
