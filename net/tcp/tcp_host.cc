#include "net/tcp/tcp_host.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace glassbox::net {
namespace {

void switch_on(int fd, int level, int option) {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof(on));
}

bool passes_by_itself(int error) {
  return error == EAGAIN || error == EINTR || error == ENOBUFS;
}

}  // namespace

void TcpHost::take_events(std::uint32_t events) {
  if (events & EPOLLIN) readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP)) readable = peer_closed = true;
  if (events & EPOLLPRI) {
    // Urgent data is delivered in line, as RFC 6093 recommends; reads stop at its mark.
    urgent = readable = true;
    switch_on(fd, SOL_SOCKET, SO_OOBINLINE);
  }
}

std::ptrdiff_t TcpHost::send(std::span<iovec> pieces) {
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) {
    sent_once_ = true;
    return sent;
  }
  const int error = errno;
  if (!passes_by_itself(error)) break_after_read();
  return -static_cast<std::ptrdiff_t>(error);
}

std::ptrdiff_t TcpHost::receive(std::span<iovec> into, bool peek) const {
  msghdr message{};
  message.msg_iov = into.data();
  message.msg_iovlen = into.size();
  const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
  return got < 0 ? -static_cast<std::ptrdiff_t>(errno) : got;
}

std::ptrdiff_t TcpHost::discard(std::uint32_t n) const {
  return ::recv(fd, nullptr, n, MSG_TRUNC | MSG_DONTWAIT);
}

bool TcpHost::set_peek_offset(Seq seq, Seq first) {
  if (peek_on_ && peek_at == seq) return true;
  const auto offset = static_cast<int>(seq - first);
  if (::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) != 0) return false;
  peek_on_ = true;
  peek_at = seq;
  return true;
}

void TcpHost::send_at_once() {
  if (!sent_once_ || no_delay_) return;
  switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
  no_delay_ = true;
}

void TcpHost::start_keepalive() {
  if (keepalive_on_ || fd < 0) return;
  switch_on(fd, SOL_SOCKET, SO_KEEPALIVE);
  keepalive_on_ = true;
}

std::optional<std::uint32_t> TcpHost::send_room() const {
  if (fd < 0) return std::nullopt;
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof(info);
  ::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &length);
  const std::uint32_t used = info[SK_MEMINFO_WMEM_QUEUED];
  const std::uint32_t size = info[SK_MEMINFO_SNDBUF];
  return used < size ? size - used : 0;
}

}  // namespace glassbox::net
