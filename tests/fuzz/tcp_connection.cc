#include "tests/fuzz/tcp_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tests/fuzz/fuzz.h"

namespace glassbox::net {

using fuzz::insist;

void Connection::host_send(std::uint32_t bytes) {
  if (hosts.empty()) return;
  HostEnd& host = hosts.back();
  std::vector<std::uint8_t> data(bytes);
  for (std::uint32_t i = 0; i < bytes; ++i)
    data[i] = host_byte(host.sent + i);
  const ssize_t n = ::send(host.fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) host.reset = true;
  if (n <= 0) return;
  host.sent += static_cast<std::uint32_t>(n);
  from_host.add(0, host.sent);
}

void Connection::host_receive(std::size_t bytes) {
  if (hosts.empty() || bytes == 0) return;
  HostEnd& host = hosts.back();
  std::vector<std::uint8_t> data(bytes);
  const ssize_t n = ::recv(host.fd.get(), data.data(), data.size(), 0);
  if (n < 0 && errno != EAGAIN) host.reset = true;
  if (n == 0)
    return insist(host.reset || from_guest.may_end_at(host.received), "the server sees an end that is none");
  for (ssize_t i = 0; i < n; ++i)
    insist(data[static_cast<std::size_t>(i)] == guest_byte(host.received++), "the server gets a wrong byte");
  insist(host.received <= from_guest.whole(), "the server gets what was not sent");
}

void Connection::host_close(bool reset) {
  if (hosts.empty()) return;
  if (reset) {
    const linger abort{1, 0};
    ::setsockopt(hosts.back().fd.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  } else {
    from_host.end_at(hosts.back().sent);
  }
  hosts.pop_back();
}

void Connection::take_syn_ack(Seq seq, Seq ack, std::uint32_t window, bool scales, std::uint32_t syn_window) {
  insist(ack == kIss + 1, "a SYN is acknowledged wrongly");
  acked = ack;
  window_edge = ack + window;
  nat_scales = scales;
  if (known && seq == nat_iss) return;
  known = true;
  nat_iss = seq;
  rcv_nxt = seq + 1;
  offered = seq + 1 + syn_window;
}

void Connection::take_ack(Seq ack, std::uint32_t window) {
  insist(seq_ge(ack, acked), "an acknowledgement moves back");
  acked = ack;
  const std::uint32_t at = ack - kIss - 1;
  insist(at <= from_guest.whole() || (at == from_guest.whole() + 1 && from_guest.may_end_at(at - 1)),
         "what was not sent is acknowledged");
  // The window field counts in units of 2^scale bytes.
  insist(seq_ge(ack + window + 127, window_edge), "the window's edge moves back");
  window_edge = seq_max(window_edge, ack + window);
}

void Connection::take_payload(Seq seq, std::span<const std::uint8_t> payload, bool fin) {
  const std::uint32_t at = seq - nat_iss - 1;
  for (std::uint32_t i = 0; i < payload.size(); ++i)
    insist(payload[i] == host_byte(at + i), "the guest gets a wrong byte");
  const Seq end = seq + static_cast<Seq>(payload.size());
  if (!payload.empty()) {
    insist(at + payload.size() <= from_host.whole(), "the guest gets what was not sent");
    insist(ahead || seq_le(end, offered), "the guest's window is overrun");
    if (seq_le(seq, rcv_nxt)) rcv_nxt = seq_max(rcv_nxt, end);
  }
  if (!fin) return;
  insist(from_host.may_end_at(end - nat_iss - 1), "the guest sees an end that is none");
  if (rcv_nxt == end) ++rcv_nxt;
}

}  // namespace glassbox::net
