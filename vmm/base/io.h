// Whole reads and writes on a file descriptor, pipes, and eventfds. Header-only: the guest's programs and the
// lab's program compile it without a library. No function here takes or closes a descriptor of its caller.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {

inline void set_nonblocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Calls transfer(done) until `bytes` are done; it returns what read() or write() does. A call that a signal
// interrupted is repeated. False, with errno set, if one fails or makes no progress (errno 0: end of file).
template <typename Transfer>
[[nodiscard]] bool transfer_all(std::size_t bytes, const Transfer& transfer) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t n = transfer(done);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = 0;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

// Writes all of it to a blocking descriptor. False, with errno set, if the other end is gone or the disk is
// full.
[[nodiscard]] inline bool write_all(int fd, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  return transfer_all(bytes, [&](std::size_t done) { return ::write(fd, from + done, bytes - done); });
}
[[nodiscard]] inline bool write_all(int fd, std::string_view text) {
  return write_all(fd, text.data(), text.size());
}

// As write_all, to a blocking socket: a peer that has closed gives EPIPE, not SIGPIPE.
[[nodiscard]] inline bool send_all(int socket, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  return transfer_all(
      bytes, [&](std::size_t done) { return ::send(socket, from + done, bytes - done, MSG_NOSIGNAL); });
}
[[nodiscard]] inline bool send_all(int socket, std::string_view text) {
  return send_all(socket, text.data(), text.size());
}

// Reads exactly `bytes` from a blocking descriptor. False, with errno set, if it fails or ends first (errno
// 0).
[[nodiscard]] inline bool read_exactly(int fd, void* to, std::size_t bytes) {
  auto* into = static_cast<char*>(to);
  return transfer_all(bytes, [&](std::size_t done) { return ::read(fd, into + done, bytes - done); });
}

// Writes text for people who may not read it: gives up, and drops the rest, when the descriptor takes nothing
// for `patience_ms`. Blocking or not.
inline void write_or_drop(int fd, std::string_view text, int patience_ms = 1000) {
  while (!text.empty()) {
    pollfd ready = {fd, POLLOUT, 0};
    if (::poll(&ready, 1, patience_ms) <= 0) return;
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR && errno != EAGAIN) return;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// One write whose failure changes nothing for the caller: last words before _exit(), one frame that may be
// lost. Async-signal-safe.
inline void write_once(int fd, const void* data, std::size_t bytes) {
  (void)!::write(fd, data, bytes);
}
inline void write_once(int fd, std::string_view text) {
  write_once(fd, text.data(), text.size());
}

// Makes an eventfd readable. Cannot fail in a way that matters: a full counter is readable already.
inline void signal_event(int event_fd) {
  const std::uint64_t one = 1;
  write_once(event_fd, &one, sizeof(one));
}

// Makes a non-blocking eventfd unreadable until the next signal. Returns how often it was signalled, 0 if not
// at all.
inline std::uint64_t clear_event(int event_fd) {
  std::uint64_t count = 0;
  return ::read(event_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

// Both ends are closed on exec.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

[[nodiscard]] inline Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return fail_errno(errno, "cannot make a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace glassbox
