// The frame path for callgrind: a guest connects and sends the number of one-byte segments given; built with
// the probes compiled in and compiled out. Only Nat::on_guest_frame is counted, so that the host's scheduling
// and the server cannot be seen.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>

#include "tests/unit/net/test_guest.h"

int main(int argc, char** argv) {
  using namespace glassbox::net;
  using glassbox::UniqueFd;
  const int segments = argc > 1 ? std::atoi(argv[1]) : 1;
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 4) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return 1;
  Bench bench;
  GuestTcp guest(bench, ntohs(address.sin_port));
  if (!guest.connect()) return 1;
  const UniqueFd served(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  for (int k = 0; k < segments; ++k) {
    guest.send(kTcpAck | kTcpPsh, "x");
    if (read_some(served.get(), 1) != "x") return 1;
  }
  std::puts("done");
  return 0;
}
