#include "tests/delays/crr/cycle.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "tests/delays/crr/syn_loss.h"
#include "vmm/base/clock.h"

namespace glassbox::delays::crr {
namespace {

// Sleeps, and returns how long it took.
std::uint64_t sleep_us(long us) {
  const std::uint64_t begin_ns = monotonic_ns();
  timespec left{us / 1'000'000, us % 1'000'000 * 1000};
  while (::nanosleep(&left, &left) < 0 && errno == EINTR) {
  }
  return monotonic_ns() - begin_ns;
}

const char* send_request(int fd, const std::vector<char>& buffer, std::size_t bytes) {
  for (std::size_t sent = 0; sent < bytes;) {
    const ssize_t n = ::send(fd, buffer.data() + sent, bytes - sent, MSG_NOSIGNAL);
    if (n < 0) return "send";
    sent += static_cast<std::size_t>(n);
  }
  return nullptr;
}

const char* receive_reply(int fd, std::vector<char>& buffer, std::size_t bytes, Cycle& cycle) {
  for (std::size_t received = 0; received < bytes;) {
    const ssize_t n = ::recv(fd, buffer.data() + received, bytes - received, 0);
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) return "receive";
    if (received == 0) cycle.first_byte_ns = monotonic_ns();
    received += static_cast<std::size_t>(n);
  }
  return nullptr;
}

const char* connect_once(int fd, const Options& options, bool delayed, SynLoss* loss, Cycle& cycle) {
  if (delayed && options.before_connect_us > 0) cycle.delay_ns = sleep_us(options.before_connect_us);
  if (delayed && loss != nullptr) loss->release_soon();
  const std::uint64_t begin_ns = monotonic_ns();
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&options.peer), sizeof(options.peer)) < 0)
    return "connect";
  cycle.connected_ns = monotonic_ns();
  if (loss != nullptr) cycle.delay_ns = cycle.connected_ns - begin_ns;
  return nullptr;
}

const char* exchange(int fd, const Options& options, bool delayed, std::vector<char>& buffer, SynLoss* loss,
                     Cycle& cycle) {
  if (const char* failed = connect_once(fd, options, delayed, loss, cycle)) return failed;
  if (delayed && options.before_send_us > 0) cycle.delay_ns = sleep_us(options.before_send_us);
  const auto payload = static_cast<std::size_t>(options.payload);
  if (const char* failed = send_request(fd, buffer, payload)) return failed;
  cycle.sent_ns = monotonic_ns();
  const std::size_t reply = options.reply > 0 ? static_cast<std::size_t>(options.reply) : payload;
  if (const char* failed = receive_reply(fd, buffer, reply, cycle)) return failed;
  cycle.received_ns = monotonic_ns();
  if (delayed && options.before_close_us > 0) cycle.delay_ns = sleep_us(options.before_close_us);
  return nullptr;
}

}  // namespace

const char* run_cycle(const Options& options, bool delayed, std::vector<char>& buffer, SynLoss* loss,
                      Cycle& cycle) {
  cycle = {};
  if (delayed && loss != nullptr) {
    if (const char* failed = loss->begin()) return failed;
  }
  cycle.start_ns = monotonic_ns();
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "socket";
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const char* failed = exchange(fd, options, delayed, buffer, loss, cycle);
  const int errnum = errno;
  ::close(fd);
  cycle.duration_ns = monotonic_ns() - cycle.start_ns;
  errno = errnum;
  return failed;
}

}  // namespace glassbox::delays::crr
