#include "guest/crr/exchange.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vmm/base/clock.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::crr {
namespace {

constexpr std::size_t kChunk = 256 * 1024;

// These return nullptr, or the name of the system call that failed, with errno set.

const char* send_bytes(int fd, const std::vector<char>& buffer, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::send(fd, buffer.data(), std::min(bytes, buffer.size()), MSG_NOSIGNAL);
    if (n < 0) return "send";
    bytes -= static_cast<std::size_t>(n);
  }
  return nullptr;
}

const char* receive_bytes(int fd, std::vector<char>& buffer, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::recv(fd, buffer.data(), std::min(bytes, buffer.size()), 0);
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) return "receive";
    bytes -= static_cast<std::size_t>(n);
  }
  return nullptr;
}

const char* open_connection(const ExchangeSpec& spec, UniqueFd& fd) {
  fd.reset(::socket(spec.peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return "socket";
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const auto* peer = reinterpret_cast<const sockaddr*>(&spec.peer);
  return ::connect(fd.get(), peer, spec.peer_bytes) < 0 ? "connect" : nullptr;
}

const char* ping(int fd, std::vector<char>& buffer) {
  const char* failed = send_bytes(fd, buffer, buffer.size());
  return failed != nullptr ? failed : receive_bytes(fd, buffer, buffer.size());
}

const char* stream(const ExchangeSpec& spec, int fd, std::vector<char>& buffer) {
  const auto bytes = static_cast<std::size_t>(spec.bytes);
  const bool out = spec.mode == Mode::kStreamOut;
  if (const char* failed = send_bytes(fd, buffer, out ? bytes : 1)) return failed;
  if (out && ::shutdown(fd, SHUT_WR) < 0) return "shutdown";
  return receive_bytes(fd, buffer, out ? 1 : bytes);
}

const char* run_cycle(const ExchangeSpec& spec, int standing, std::vector<char>& buffer) {
  if (spec.mode == Mode::kRr) return ping(standing, buffer);
  UniqueFd fd;
  const char* failed = open_connection(spec, fd);
  if (failed == nullptr) {
    failed = spec.mode == Mode::kCrr ? ping(fd.get(), buffer) : stream(spec, fd.get(), buffer);
  }
  const int errnum = errno;
  fd.reset();
  errno = errnum;
  return failed;
}

void sleep_until(std::uint64_t when_ns) {
  const timespec when{static_cast<time_t>(when_ns / kNsPerSecond), static_cast<long>(when_ns % kNsPerSecond)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr) == EINTR) {
  }
}

}  // namespace

Flow run_flow(const ExchangeSpec& spec, long cycles) {
  Flow flow;
  flow.cycles.reserve(static_cast<std::size_t>(cycles));
  const bool streams = spec.mode == Mode::kStreamOut || spec.mode == Mode::kStreamIn;
  std::vector<char> buffer(streams ? kChunk : static_cast<std::size_t>(spec.payload), 'A');
  const auto note = [&](long index, const char* call) {
    if (flow.failed++ > 0) return;
    flow.first_error = "cycle " + std::to_string(index) + ": " + call + ": " + std::strerror(errno);
  };
  UniqueFd standing;
  if (spec.mode == Mode::kRr) {
    if (const char* failed = open_connection(spec, standing)) {
      note(0, failed);
      flow.failed = cycles;
      return flow;
    }
  }
  const std::uint64_t begin_ns = monotonic_ns();
  for (long i = 0; i < cycles; ++i) {
    std::uint64_t start_ns = 0;
    if (spec.rate > 0) {
      // Timed from when the cycle was due, not from when it began: otherwise a stall would show in one cycle
      // and hide in all that it delayed.
      start_ns =
          begin_ns + static_cast<std::uint64_t>(i) * kNsPerSecond / static_cast<std::uint64_t>(spec.rate);
      sleep_until(start_ns);
    } else {
      start_ns = monotonic_ns();
    }
    const char* failed = run_cycle(spec, standing.get(), buffer);
    const std::uint64_t end_ns = monotonic_ns();
    if (failed == nullptr) {
      flow.cycles.push_back({start_ns, end_ns - start_ns});
    } else {
      note(i, failed);
    }
  }
  return flow;
}

}  // namespace glassbox::crr
