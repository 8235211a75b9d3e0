#include "tools/bench/stacks/echo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <span>
#include <vector>

#include "net/host/socket_address.h"
#include "vmm/base/clock.h"
#include "vmm/base/io.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kStreamChunk = 256 * 1024;

void sleep_ms(std::uint32_t ms) {
  const timespec pause{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1'000'000};
  ::nanosleep(&pause, nullptr);
}

// Reads to the end of file; false where the client reset.
bool drain(int fd, std::span<char> buffer) {
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n == 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

bool write_stream(int fd, std::span<const char> buffer, std::uint64_t bytes) {
  while (bytes > 0) {
    const std::size_t part = std::min<std::uint64_t>(bytes, buffer.size());
    if (!send_all(fd, buffer.data(), part)) return false;
    bytes -= part;
  }
  return true;
}

// One connection; true where the client got what it asked for (keep counts for itself).
bool serve_connection(int fd, const EchoOptions& options, std::span<char> buffer,
                      std::atomic<std::uint64_t>& served) {
  const std::size_t want = options.request_bytes;
  switch (options.service) {
    case Service::kEcho:
      return read_exactly(fd, buffer.data(), want) && send_all(fd, buffer.data(), want);
    case Service::kKeep:
      while (read_exactly(fd, buffer.data(), want) && send_all(fd, buffer.data(), want))
        served.fetch_add(1, std::memory_order_relaxed);
      return false;
    case Service::kSink:
      return drain(fd, buffer) && send_all(fd, buffer.data(), 1);
    case Service::kSource:
      return read_exactly(fd, buffer.data(), 1) && write_stream(fd, buffer, options.stream_bytes);
  }
  return false;
}

// A client that went away between SYN and accept() is its own affair (accept(2) lists these).
bool is_clients_fault(int errnum) {
  return errnum == ECONNABORTED || errnum == EINTR || errnum == EPROTO || errnum == ENETDOWN ||
         errnum == EHOSTUNREACH || errnum == ENETUNREACH;
}

}  // namespace

Result<UniqueFd> listen_on(const net::Endpoint& endpoint) {
  const net::SocketAddress address(endpoint.address, endpoint.port);
  UniqueFd socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "echo server: socket");
  const int on = 1;
  // Connections of an earlier server in TIME_WAIT do not make the port taken; a live listener does.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) {
    return fail_errno(errno, "echo server: SO_REUSEADDR");
  }
  // The address of a veth pair may come later, with its device.
  ::setsockopt(socket.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
  if (::bind(socket.get(), address.get(), address.length()) < 0 || ::listen(socket.get(), SOMAXCONN) < 0) {
    if (errno == EADDRINUSE)
      return fail("port {} is in use: name another with --port, or leave --port out", endpoint.port);
    return fail_errno(errno, "echo server: cannot listen on {}",
                      net::to_text(endpoint.address, endpoint.port));
  }
  return socket;
}

Result<UniqueFd> listen_on_loopback(std::uint16_t port) {
  return listen_on({net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1)), port});
}

Result<std::uint16_t> bound_port(const UniqueFd& socket) {
  net::SocketAddress address;
  if (::getsockname(socket.get(), address.get(), address.length_out()) < 0) {
    return fail_errno(errno, "echo server: getsockname");
  }
  return address.port();
}

Status serve_echo(const UniqueFd& listener, const EchoOptions& options, std::atomic<std::uint64_t>& served) {
  if (options.request_bytes < 1 || options.request_bytes > kMaxRequestBytes) {
    return fail("echo server: a request is 1 to {} bytes", kMaxRequestBytes);
  }
  // Streams go in large pieces; a request is read in as many as it comes in.
  const bool streams = options.service == Service::kSink || options.service == Service::kSource;
  std::vector<char> buffer(streams ? kStreamChunk : kMaxRequestBytes, 'A');
  const int accept_flags = SOCK_CLOEXEC;
  std::uint64_t looked_ns = monotonic_ns();
  for (;;) {
    // The listener of a polling server is non-blocking, the connection never is.
    UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, accept_flags));
    if (!connection) {
      if (errno == EAGAIN && options.poll_ms > 0) {
        sleep_ms(options.poll_ms);
        continue;
      }
      if (is_clients_fault(errno)) continue;
      return fail_errno(errno, "echo server: accept");
    }
    if (options.service == Service::kKeep) {
      const int on = 1;  // a reply of several segments must not wait for an acknowledgement
      ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (serve_connection(connection.get(), options, buffer, served)) {
      const std::uint64_t took_ns = monotonic_ns() - looked_ns;
      if (options.times_fd >= 0) write_once(options.times_fd, &took_ns, sizeof(took_ns));
      served.fetch_add(1, std::memory_order_relaxed);
    }
    connection.reset();
    looked_ns = monotonic_ns();
  }
}

}  // namespace glassbox::bench
