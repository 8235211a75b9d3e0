// A NAT on virtual time whose host and guest are driven by the test, step by step.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {

inline constexpr std::uint64_t kSecondNs = 1'000'000'000;
inline constexpr Seq kIss = 0xffff'f000;

// A server on 127.0.0.1 whose every step the test takes.
class Host {
 public:
  explicit Host(int backlog = 64) : listener_(listen_on_loopback(backlog, SOCK_NONBLOCK)) {
    port = listener_.port;
  }
  bool accept() {
    fd.reset(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    return static_cast<bool>(fd);
  }
  std::size_t send(const std::string& data) {
    const ssize_t n = ::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  // What there is to read; ended and error say what came after it.
  std::string receive() {
    std::string all;
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    while ((n = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0)
      all.append(buffer.data(), static_cast<std::size_t>(n));
    ended = n == 0;
    error = n < 0 ? errno : 0;
    return all;
  }
  void reset() {
    const linger abort{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
    fd.reset();
  }
  std::uint16_t port = 0;
  UniqueFd fd;
  bool ended = false;
  int error = 0;

 private:
  Listener listener_;
};

class VirtualNat : public testing::Test {
 protected:
  VirtualNat() {
    auto created = Nat::create({.allow_host_loopback = true, .mtu = 1500}, loop, port);
    EXPECT_TRUE(created.has_value());
    nat = std::move(*created);
    watched_at_start = loop.watched();
  }
  // One frame of a burst that goes on.
  void take(const SegmentSpec& spec) {
    const auto frame = build_segment(spec);
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  }
  void inject(const SegmentSpec& spec) {
    take(spec);
    nat->on_guest_burst_end();
  }
  // Turns until no socket has anything more to say.
  void settle() {
    int turns = 0;
    while (loop.turn())
      ASSERT_LT(++turns, 1000) << "the loop spins";
  }
  // Lets time pass, each deadline at its time; returns how many turns that took.
  int pass(std::uint64_t ns) {
    const std::uint64_t end = loop.now_ns() + ns;
    int turns = 0;
    while (loop.deadline_ns() != 0 && loop.deadline_ns() <= end && turns < 1'000'000) {
      loop.advance_to(loop.deadline_ns());
      do {
        ++turns;
      } while (loop.turn());
    }
    loop.advance_to(end);
    return turns;
  }
  [[nodiscard]] const NatCounters& counters() const { return nat->counters(); }

  VirtualLoop loop;
  FakePort port;
  std::unique_ptr<Nat> nat;
  std::size_t watched_at_start = 0;
};

// A guest's end of a connection that does nothing by itself.
class Puppet {
 public:
  Puppet(VirtualLoop& loop, FakePort& port, Nat& nat, std::uint16_t to, std::uint16_t from = 40000)
      : loop_(loop), port_(port), nat_(nat), to_(to), from_(from) {}
  Seq snd_nxt = kIss + 1;
  Seq rcv_nxt = 0;
  Seq acked = 0;
  std::string received;
  std::uint16_t window = 65535;
  std::uint16_t peer_window = 0;  // as on the wire
  std::vector<std::uint8_t> syn_options = {2, 4, 5, 0xb4};
  bool fin = false, reset = false, syn_acked = false;

  void send(std::uint8_t flags, const std::string& payload = {}) {
    send_at(snd_nxt, flags, payload);
    snd_nxt += static_cast<Seq>(payload.size()) + ((flags & kTcpFin) ? 1 : 0);
  }
  void send_at(Seq seq, std::uint8_t flags, const std::string& payload = {}) {
    SegmentSpec spec{.guest_port = from_, .dst_port = to_};
    spec.seq = seq;
    spec.ack = (flags & kTcpAck) ? rcv_nxt : 0;
    spec.flags = flags;
    spec.window = window;
    spec.payload = payload;
    if (flags & kTcpSyn) spec.options = syn_options;
    const auto frame = build_segment(spec);
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat_.on_guest_frame(std::span(&piece, 1), {}, 0);
    nat_.on_guest_burst_end();
  }
  void acknowledge() { send(kTcpAck); }
  bool connect() {
    send_at(kIss, kTcpSyn);
    turn();
    if (syn_acked) acknowledge();
    return syn_acked;
  }
  // Turns, and takes in what comes; the answers are the test's.
  void turn() {
    while (loop_.turn()) {
    }
    std::deque<PublishedFrame> others;
    while (!port_.published.empty()) {
      const Seen seen = take_apart(port_.published.front());
      if (seen.protocol == kProtocolTcp && seen.destination_port == from_) {
        take(seen);
      } else {
        others.push_back(port_.published.front());
      }
      port_.published.pop_front();
    }
    port_.published = std::move(others);
  }

 private:
  void take(const Seen& seen) {
    if (seen.flags & kTcpRst) reset = true;
    if (seen.flags & kTcpRst) return;
    acked = seen.ack;
    peer_window = seen.window;
    if (seen.flags & kTcpSyn) {
      syn_acked = true;
      rcv_nxt = seen.seq + 1;
      return;
    }
    if (seen.seq != rcv_nxt) return;
    received += seen.payload;
    rcv_nxt += static_cast<Seq>(seen.payload.size());
    if (seen.flags & kTcpFin) {
      fin = true;
      ++rcv_nxt;
    }
  }
  VirtualLoop& loop_;
  FakePort& port_;
  Nat& nat_;
  const std::uint16_t to_, from_;
};

// Shows that a flow works: request, response, end.
inline void expect_cycle(Host& host, Puppet& guest) {
  guest.send(kTcpAck, "request");
  guest.turn();
  EXPECT_EQ(host.receive(), "request");
  host.send("response");
  guest.turn();
  EXPECT_EQ(guest.received, "response");
  guest.acknowledge();
}

}  // namespace glassbox::net
