#include "tools/bench/measure/null_test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/host/socket_address.h"
#include "vmm/base/clock.h"
#include "vmm/base/io.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {
namespace {

Status run_one_crr(const net::SocketAddress& server) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd.get(), server.get(), server.length()) < 0) return fail_errno(errno, "connect");
  char byte = 'A';
  if (!send_all(fd.get(), &byte, 1)) return fail_errno(errno, "send");
  if (!read_exactly(fd.get(), &byte, 1)) return fail_errno(errno, "receive");
  return {};
}

}  // namespace

Result<std::vector<std::uint64_t>> run_plain_loop(std::uint16_t port, std::uint32_t count) {
  const net::SocketAddress server(net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1)), port);
  std::vector<std::uint64_t> times;
  times.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t start_ns = monotonic_ns();
    GB_TRY(run_one_crr(server));
    times.push_back(monotonic_ns() - start_ns);
  }
  return times;
}

std::optional<bool> null_test_agrees(const NullTest& test) {
  if (!test.failed.empty()) return false;
  const auto comparison = compare(test.harness, test.plain);
  if (!comparison || (comparison->rounds < kRoundsForVerdict && !comparison->overlap)) return std::nullopt;
  return !comparison->different;
}

bool null_test_failed(const NullTest& test) {
  return !null_test_agrees(test).value_or(true);
}

}  // namespace glassbox::bench
