// The frame path for callgrind: a guest connects and sends the number of one-byte segments given. Only
// Nat::on_guest_frame is counted, so that the host's scheduling and the server cannot be seen. Built with the
// probes compiled in, compiled out, and with a log line at each site (then a second argument is the log
// file).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>

#include "tests/unit/net/test_guest.h"
#ifdef FRAME_PATH_LOGS
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#endif

int main(int argc, char** argv) {
  using namespace glassbox::net;
  using glassbox::UniqueFd;
  constexpr std::uint16_t kGuestPort = 40000;
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
#ifdef FRAME_PATH_LOGS
  if (argc > 2) {
    spdlog::set_default_logger(spdlog::basic_logger_st("frames", argv[2]));
    spdlog::set_level(spdlog::level::trace);
  }
#endif
  Bench bench;
  GuestTcp guest(bench, ntohs(address.sin_port), kGuestPort);
  if (!guest.connect()) return 1;
  const UniqueFd served(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  for (int k = 0; k < segments; ++k) {
    // As a guest sends that leaves the checksum to its device; to compute one takes more instructions or
    // fewer by what is summed up, and the sequence numbers are random.
    bench.inject(build_segment({.guest_port = kGuestPort,
                                .dst_port = ntohs(address.sin_port),
                                .seq = guest.snd_nxt++,
                                .ack = guest.rcv_nxt,
                                .flags = kTcpAck | kTcpPsh,
                                .payload = "x"}),
                 {.flags = 1});
    bench.end_burst();
    if (read_some(served.get(), 1) != "x") return 1;
  }
  std::puts("done");
  return 0;
}
