#include "vmm/virtio/vsock/vsock_connection.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "vmm/base/iovec.h"

namespace glassbox::virtio::vsock {
namespace {

constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
// The guest gets a credit update once this much freed space is unannounced.
constexpr std::uint32_t kCreditUpdateStep = kBufferBytes / 4;

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}  // it never sleeps: no EINTR

ssize_t send_all(int fd, std::span<const iovec> list) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(list.data());
  message.msg_iovlen = list.size();
  return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t receive(int fd, std::span<iovec> list) {
  msghdr message{};
  message.msg_iov = list.data();
  message.msg_iovlen = list.size();
  return ::recvmsg(fd, &message, MSG_DONTWAIT);
}

// If a UNIX socket is closed with unread data, the peer gets ECONNRESET instead of the end of file. So bytes
// that it sent after the guest stopped receiving are read and discarded; the socket buffer bounds them.
void discard_inbound(int fd) {
  ::shutdown(fd, SHUT_RD);
  std::array<std::byte, 4096> waste;
  for (unsigned i = 0; i < 1024 && ::recv(fd, waste.data(), waste.size(), MSG_DONTWAIT) > 0; ++i) {
  }
}

}  // namespace

std::unique_ptr<Connection> Connection::from_host(net::EventLoop& loop, ConnectionOwner& owner, Ports ports,
                                                  UniqueFd socket) {
  std::unique_ptr<Connection> connection(
      new Connection(loop, owner, ports, std::move(socket), State::kConnecting));
  connection->request_due_ = true;
  return connection;
}

std::unique_ptr<Connection> Connection::from_guest(net::EventLoop& loop, ConnectionOwner& owner, Ports ports,
                                                   UniqueFd socket, const Header& request) {
  std::unique_ptr<Connection> connection(new Connection(loop, owner, ports, std::move(socket), State::kOpen));
  connection->response_due_ = true;
  connection->peer_buffer_ = request.buf_alloc;
  connection->peer_forwarded_ = request.fwd_cnt;
  return connection;
}

Connection::Connection(net::EventLoop& loop, ConnectionOwner& owner, Ports ports, UniqueFd socket,
                       State state)
    : loop_(loop), owner_(owner), ports_(ports), state_(state), socket_(std::move(socket)) {
  if (!loop_.add(socket_.get(), kEvents, this)) reset();
}

Connection::~Connection() {
  close_socket();
}

void Connection::close_socket() {
  if (!socket_) return;
  loop_.remove(socket_.get());
  discard_inbound(socket_.get());
  socket_.reset();
}

void Connection::abandon() {
  close_socket();
  state_ = State::kGone;
}

// From here on only a reset for the guest is left to send.
void Connection::reset() {
  if (state_ == State::kGone) return;
  close_socket();
  state_ = State::kResetting;
}

std::uint32_t Connection::credit() const {
  const std::uint32_t in_flight = sent_ - peer_forwarded_;
  return in_flight < peer_buffer_ ? peer_buffer_ - in_flight
                                  : 0;  // a peer with impossible numbers has no credit
}

void Connection::on_fd_ready(std::uint32_t events) {
  if (state_ == State::kGone) return;  // ended earlier in this turn
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    hung_up_ = true;
    if (state_ == State::kConnecting) reset();
  }
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    writable_ = true;
    flush();
  }
  owner_.connection_changed(*this);
}

void Connection::on_packet(const Header& header, std::span<const iovec> payload) {
  if (state_ == State::kGone) return;
  const auto op = static_cast<Op>(header.op);
  if (op == Op::kReset) {
    // Nothing more will come or go; what the guest had sent before still reaches the process.
    guest_shutdown_ = kShutdownBoth;
    guest_reset_ = true;
    if (state_ != State::kOpen) ring_.drop_front(ring_.size());
    return finish_if_done();
  }
  if (state_ == State::kResetting) return;
  peer_buffer_ = header.buf_alloc;
  peer_forwarded_ = header.fwd_cnt;
  if (credit() != 0) credit_asked_ = credit_request_due_ = false;
  switch (op) {
    case Op::kResponse:
      if (state_ != State::kConnecting) return reset();
      return open(header);
    case Op::kData:
      if (state_ == State::kConnecting) return reset();
      return on_data(payload, header.len);
    case Op::kShutdown:
      if (state_ == State::kConnecting) return reset();
      return on_shutdown(header.flags);
    case Op::kCreditRequest:
      credit_update_due_ = true;
      return;
    case Op::kCreditUpdate:
      return;
    default:
      return reset();
  }
}

void Connection::open(const Header&) {
  state_ = State::kOpen;
  // The socket is new: its buffer has room for a line.
  const std::string line = fmt::format("OK {}\n", ports_.host);
  if (::send(socket_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    reset();
  }
}

void Connection::on_data(std::span<const iovec> payload, std::size_t bytes) {
  if (bytes > ring_.room()) return reset();                    // more than its credit
  if ((guest_shutdown_ & kShutdownSend) != 0) return reset();  // it had shut down sending
  std::size_t done = 0;
  if (ring_.empty() && writable_ && !deaf()) done = send_some(payload);
  if (deaf()) return took(bytes);  // discarded: the guest gets, or has got, the shutdown
  std::size_t skip = done;
  for (const iovec& part : payload) {
    const std::size_t skipped = std::min(skip, part.iov_len);
    skip -= skipped;
    ring_.push(std::span(static_cast<const std::byte*>(part.iov_base), part.iov_len).subspan(skipped));
  }
  took(done);
}

// One send to the process. It may stop reading (deaf()), or just have enough for now (writable_).
std::size_t Connection::send_some(std::span<const iovec> list) {
  const ssize_t n = send_all(socket_.get(), list);
  if (n < 0 && !would_block(errno)) {
    process_deaf_ = true;
    return 0;
  }
  const std::size_t sent = n > 0 ? static_cast<std::size_t>(n) : 0;
  if (sent < iov_bytes(list)) writable_ = false;
  return sent;
}

// Bytes have reached the process: the guest gets their credit back.
void Connection::took(std::size_t bytes) {
  forwarded_ += static_cast<std::uint32_t>(bytes);
  if (forwarded_ - forwarded_told_ >= kCreditUpdateStep) credit_update_due_ = true;
}

void Connection::flush() {
  while (!ring_.empty() && (writable_ || deaf())) {
    const std::size_t n = deaf() ? ring_.size() : send_some(ring_.view());
    ring_.drop_front(n);
    took(n);
  }
  finish_if_done();
}

void Connection::on_shutdown(std::uint32_t flags) {
  guest_shutdown_ |= flags & kShutdownBoth;
  if ((guest_shutdown_ & kShutdownReceive) != 0 && socket_) ::shutdown(socket_.get(), SHUT_RD);
  finish_if_done();
}

// What the guest's shutdown asks for, once everything it sent has reached the process.
void Connection::finish_if_done() {
  if (!ring_.empty() || (guest_shutdown_ & kShutdownSend) == 0) return;
  if (guest_shutdown_ == kShutdownBoth) {
    if (!guest_reset_) return reset();
    close_socket();
    state_ = State::kGone;
    return;
  }
  if (!std::exchange(write_side_shut_, true) && socket_) ::shutdown(socket_.get(), SHUT_WR);
}

// The directions that the process has closed and that may be announced to the guest: data goes first.
std::uint32_t Connection::shutdown_due() const {
  const bool all_read = end_of_file_ || (guest_shutdown_ & kShutdownReceive) != 0;
  const bool no_receive = process_deaf_ || (hung_up_ && all_read);
  return (end_of_file_ ? kShutdownSend : 0) | (no_receive ? kShutdownReceive : 0);
}

bool Connection::may_read() const {
  return readable_ && !end_of_file_ && (guest_shutdown_ & kShutdownReceive) == 0;
}

bool Connection::has_packet() const {
  if (guest_reset_) return false;
  switch (state_) {
    case State::kConnecting:
      return request_due_;
    case State::kOpen:
      break;
    case State::kResetting:
      return true;
    default:
      return false;
  }
  return response_due_ || credit_update_due_ || credit_request_due_ || shutdown_due() != shutdown_told_ ||
         (may_read() && (credit() != 0 || !credit_asked_));
}

Header Connection::header_for(Op op) {
  credit_update_due_ = false;  // every packet carries the credit
  forwarded_told_ = forwarded_;
  return {.src_port = ports_.host,
          .dst_port = ports_.guest,
          .op = static_cast<std::uint16_t>(op),
          .buf_alloc = kBufferBytes,
          .fwd_cnt = forwarded_};
}

std::optional<Header> Connection::next_packet(std::span<iovec> room) {
  if (guest_reset_) return std::nullopt;
  if (state_ == State::kResetting) {
    state_ = State::kGone;
    return header_for(Op::kReset);
  }
  if (std::exchange(request_due_, false)) return header_for(Op::kRequest);
  if (state_ != State::kOpen) return std::nullopt;
  if (std::exchange(response_due_, false)) return header_for(Op::kResponse);
  if (auto data = data_packet(room)) return data;
  if (state_ == State::kResetting) return next_packet(room);
  if (shutdown_due() != shutdown_told_) {
    shutdown_told_ = shutdown_due();
    Header header = header_for(Op::kShutdown);
    header.flags = shutdown_told_;
    if (shutdown_told_ == kShutdownBoth) {
      close_socket();
      state_ = State::kClosing;
    }
    return header;
  }
  if (std::exchange(credit_request_due_, false)) return header_for(Op::kCreditRequest);
  if (credit_update_due_) return header_for(Op::kCreditUpdate);
  return std::nullopt;
}

// Receives from the process straight into the guest's buffers, within its credit.
std::optional<Header> Connection::data_packet(std::span<iovec> room) {
  if (!may_read()) return std::nullopt;
  const std::size_t limit = std::min<std::size_t>(credit(), kMaxPayload);
  if (limit == 0) {
    if (!std::exchange(credit_asked_, true)) credit_request_due_ = true;
    return std::nullopt;
  }
  const std::span<iovec> into = iov_keep_front(room, limit);
  if (into.empty()) return std::nullopt;  // a buffer for a header only: wait for the next one
  const ssize_t n = receive(socket_.get(), into);
  if (n > 0) {
    sent_ += static_cast<std::uint32_t>(n);
    Header header = header_for(Op::kData);
    header.len = static_cast<std::uint32_t>(n);
    return header;
  }
  if (n < 0 && would_block(errno)) {
    readable_ = false;
  } else if (n < 0) {
    reset();
  } else {
    end_of_file_ = true;
  }
  return std::nullopt;
}

}  // namespace glassbox::virtio::vsock
