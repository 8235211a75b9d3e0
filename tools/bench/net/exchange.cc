#include "tools/bench/net/exchange.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

namespace glassbox::bench {
namespace {

constexpr std::size_t kChunk = 256 * 1024;
constexpr char kOpRr = 'R';
constexpr char kOpOut = 'O';
constexpr char kOpIn = 'I';

bool send_all(int fd, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
}

bool receive_all(int fd, void* data, std::size_t bytes) {
  return ::recv(fd, data, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

// Reads until the end of file; the bytes that came, or -1.
std::int64_t drain(int fd, std::vector<char>& buffer) {
  std::int64_t total = 0;
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) return total;
    total += n;
  }
}

bool send_bytes(int fd, std::uint64_t bytes, std::vector<char>& buffer) {
  while (bytes > 0) {
    const std::size_t part = std::min<std::uint64_t>(bytes, buffer.size());
    if (!send_all(fd, buffer.data(), part)) return false;
    bytes -= part;
  }
  return true;
}

Result<UniqueFd> connect_to(const Order& order) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // A stack that loses a connection of many must not hold up the benchmark.
  const timeval limit{5, 0};
  if (order.what == Exchange::kHold || order.what == Exchange::kHalfClosed) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(order.port);
  peer.sin_addr.s_addr = htonl(order.address);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) < 0) {
    return fail_errno(errno, "connect");
  }
  return fd;
}

Status ping(int fd) {
  char byte = 'A';
  if (!send_all(fd, &byte, 1)) return fail_errno(errno, "send");
  if (!receive_all(fd, &byte, 1)) return fail_errno(errno, "receive");
  return {};
}

Status one_crr(const Order& order) {
  GB_ASSIGN(const UniqueFd fd, connect_to(order));
  return ping(fd.get());
}

Status one_stream(const Order& order, std::vector<char>& buffer) {
  GB_ASSIGN(const UniqueFd fd, connect_to(order));
  if (order.what == Exchange::kStreamOut) {
    char done = 0;
    if (!send_all(fd.get(), &kOpOut, 1) || !send_bytes(fd.get(), order.bytes, buffer)) {
      return fail_errno(errno, "send");
    }
    ::shutdown(fd.get(), SHUT_WR);
    if (!receive_all(fd.get(), &done, 1)) return fail_errno(errno, "receive");
    return {};
  }
  if (!send_all(fd.get(), &kOpIn, 1) ||
      !send_all(fd.get(), reinterpret_cast<const char*>(&order.bytes), sizeof(order.bytes))) {
    return fail_errno(errno, "send");
  }
  const std::int64_t got = drain(fd.get(), buffer);
  if (got < 0) return fail_errno(errno, "receive");
  if (static_cast<std::uint64_t>(got) != order.bytes) {
    return fail("{} of {} bytes came before the end of file", got, order.bytes);
  }
  return {};
}

// Each thread takes its cycles from one pot, so that all end together.
Status parallel_crr(const Order& order) {
  std::atomic<std::int64_t> left{order.count};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Status first;  // that failed
  std::vector<std::thread> threads;
  for (std::uint16_t i = 0; i < order.flows; ++i) {
    threads.emplace_back([&, i] {
      Order mine = order;
      mine.port = order.ports[i % order.ports.size()];
      while (!failed && left.fetch_sub(1) > 0) {
        Status status = one_crr(mine);
        if (status) continue;
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) first = std::move(status);
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  return first;
}

Status half_closed(const Order& order, std::vector<UniqueFd>& held) {
  for (const char op : {kOpKeep, kOpShut}) {
    GB_ASSIGN(UniqueFd fd, connect_to(order));
    if (!send_all(fd.get(), &op, 1)) return fail_errno(errno, "send");
    char end = 0;
    if (op == kOpKeep) ::shutdown(fd.get(), SHUT_WR);
    if (op == kOpShut && ::recv(fd.get(), &end, 1, 0) != 0)
      return fail("the server did not end its direction");
    held.push_back(std::move(fd));
  }
  return {};
}

Status carry_out_whole(const Order& order, std::vector<UniqueFd>& held) {
  if (order.what == Exchange::kParallelCrr) return parallel_crr(order);
  if (order.what == Exchange::kHalfClosed) return half_closed(order, held);
  held.clear();
  if (order.what == Exchange::kLetGo) return {};
  raise_descriptor_limit();
  for (std::uint32_t i = 0; i < order.count; ++i) {
    auto fd = connect_to(order);
    if (!fd) return fail("connection {}: {}", i + 1, fd.error().message);
    held.push_back(std::move(*fd));
  }
  return {};
}

void serve_one(int fd, std::vector<char>& buffer) {
  char op = 0;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!receive_all(fd, &op, 1)) return;
  std::uint64_t bytes = 0;
  char byte = 0;
  switch (op) {
    case kOpRr:
      while (receive_all(fd, &byte, 1) && send_all(fd, &byte, 1)) {
      }
      return;
    case kOpOut:
      if (drain(fd, buffer) >= 0) send_all(fd, &op, 1);
      return;
    case kOpIn:
      if (receive_all(fd, &bytes, sizeof(bytes))) send_bytes(fd, bytes, buffer);
      return;
    default:
      return;
  }
}

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

Result<std::vector<std::uint64_t>> carry_out(const Order& order, std::vector<UniqueFd>& held) {
  std::vector<std::uint64_t> samples;
  if (order.what != Exchange::kCrr && order.what != Exchange::kRr && order.what != Exchange::kStreamOut &&
      order.what != Exchange::kStreamIn) {
    const std::uint64_t start_ns = monotonic_ns();
    GB_TRY(carry_out_whole(order, held));
    samples.push_back(monotonic_ns() - start_ns);
    return samples;
  }
  samples.reserve(order.count);
  std::vector<char> buffer(order.what == Exchange::kCrr ? 1 : kChunk, 'A');
  UniqueFd standing;
  if (order.what == Exchange::kRr) {
    GB_ASSIGN(standing, connect_to(order));
    if (!send_all(standing.get(), &kOpRr, 1)) return fail_errno(errno, "send");
  }
  for (std::uint32_t i = 0; i < order.count; ++i) {
    const std::uint64_t start_ns = monotonic_ns();
    switch (order.what) {
      case Exchange::kCrr:
        GB_TRY(one_crr(order));
        break;
      case Exchange::kRr:
        GB_TRY(ping(standing.get()));
        break;
      default:
        GB_TRY(one_stream(order, buffer));
    }
    samples.push_back(monotonic_ns() - start_ns);
  }
  return samples;
}

Result<UniqueFd> listen_on(std::uint32_t address) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  const int on = 1;  // the address may come only when its device does
  ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) < 0 ||
      ::listen(fd.get(), SOMAXCONN) < 0) {
    return fail_errno(errno, "cannot listen");
  }
  return fd;
}

void serve_exchanges(int listener) {
  std::vector<char> buffer(kChunk, 'A');
  for (;;) {
    const UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_one(connection.get(), buffer);
  }
}

}  // namespace glassbox::bench
