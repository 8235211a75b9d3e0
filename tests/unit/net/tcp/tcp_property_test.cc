// TCP through a wire that loses, repeats, reorders and cuts frames in both directions, against the simplest
// model there is: two byte streams. They arrive intact or the flow ends with a reason; at no time has either
// side anything that is not a prefix of what the other sent. Time is virtual, the host's sockets are real.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <sys/socket.h>

#include <random>

#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kGuestTimeoutNs = 300'000'000;
constexpr int kMaxSteps = 200'000;

struct Weather {
  std::uint32_t seed = 0;
  int lose = 0, repeat = 0, hold = 0, cut = 0;  // per cent of the frames
};

// Which frames come out of the wire, and in what order. Held ones come after those that follow.
template <typename Frame>
class Wire {
 public:
  Wire(const Weather& weather, unsigned salt) : weather_(weather), random_(weather.seed + salt) {}
  template <typename Deliver>
  void pass(const Frame& frame, bool may_cut, const Deliver& deliver) {
    if (chance(weather_.lose)) return;
    if (chance(weather_.hold) && held_.size() < 8) {
      held_.push_back(frame);
      return;
    }
    const bool cut = may_cut && chance(weather_.cut);
    deliver(frame, cut ? random_() : ~std::uint32_t{0});
    if (chance(weather_.repeat)) deliver(frame, ~std::uint32_t{0});
    if (chance(50)) release(deliver);
  }
  template <typename Deliver>
  bool release(const Deliver& deliver) {
    const auto held = std::move(held_);
    held_.clear();
    for (const Frame& frame : held)
      deliver(frame, ~std::uint32_t{0});
    return !held.empty();
  }

 private:
  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  const Weather weather_;
  std::minstd_rand random_;
  std::vector<Frame> held_;
};

// A host's server: sends one stream, receives the other, ends its own when it is sent.
class HostEnd {
 public:
  explicit HostEnd(std::string to_send)
      : to_send_(std::move(to_send)),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    RC_ASSERT(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    RC_ASSERT(::listen(listener_.get(), 4) == 0);
    RC_ASSERT(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port = ntohs(address.sin_port);
  }
  // True if something happened.
  bool step() {
    if (!fd_) {
      fd_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      return static_cast<bool>(fd_);
    }
    bool progress = false;
    if (sent_ < to_send_.size()) {
      const ssize_t n = ::send(fd_.get(), to_send_.data() + sent_, to_send_.size() - sent_, MSG_NOSIGNAL);
      if (n > 0) {
        sent_ += static_cast<std::size_t>(n);
        progress = true;
      }
    } else if (!shut_) {
      shut_ = progress = true;
      ::shutdown(fd_.get(), SHUT_WR);
    }
    std::array<char, 16384> buffer;
    const ssize_t n = ended ? 0 : ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) received.append(buffer.data(), static_cast<std::size_t>(n));
    if (n == 0) progress |= !std::exchange(ended, true);
    return progress || n > 0;
  }
  std::uint16_t port = 0;
  std::string received;
  bool ended = false;

 private:
  const std::string to_send_;
  std::size_t sent_ = 0;
  bool shut_ = false;
  UniqueFd listener_;
  UniqueFd fd_;
};

// A guest's TCP: go back N, no congestion control, windows that wander.
class LossyGuest {
 public:
  LossyGuest(Nat& nat, std::uint16_t port, std::string to_send, const Weather& weather)
      : nat_(nat),
        port_(port),
        to_send_(std::move(to_send)),
        random_(weather.seed),
        out_(weather, 1),
        in_(weather, 2),
        iss_(static_cast<Seq>(random_()) * 3),
        una_(iss_),
        next_(iss_) {}

  void start(std::uint64_t now) {
    segment(iss_, kTcpSyn, {});
    due_ns = now + kGuestTimeoutNs;
  }
  // Sends what the window allows; true if anything.
  bool send_more(std::uint64_t now) {
    bool any = false;
    const Seq end = iss_ + 1 + static_cast<Seq>(to_send_.size());
    while (established_ && !reset && seq_le(next_, end) && next_ - una_ < window_) {
      any |= send_one(std::min<std::size_t>(window_ - (next_ - una_), 1 + random_() % 1460));
      if (next_ == end + 1) break;
    }
    if (any) due_ns = now + kGuestTimeoutNs;
    return any;
  }
  void timeout(std::uint64_t now) {
    due_ns = now + kGuestTimeoutNs;
    out_.release(deliver());
    if (!established_) return segment(iss_, kTcpSyn, {});
    next_ = una_;
    if (!done_sending()) {
      send_one(1);  // a zero-window probe as well
    }
    acknowledge();
  }
  void take(const PublishedFrame& frame) {
    in_.pass(frame, false, [this](const PublishedFrame& f, std::uint32_t) { take_now(f); });
  }
  bool release() {
    const bool in = in_.release([this](const PublishedFrame& f, std::uint32_t) { take_now(f); });
    return out_.release(deliver()) || in;
  }
  [[nodiscard]] bool done() const { return done_sending() && fin_received; }

  std::string received;
  bool fin_received = false;
  bool reset = false;
  std::uint64_t due_ns = 0;

 private:
  [[nodiscard]] bool done_sending() const {
    return established_ && una_ == iss_ + 2 + static_cast<Seq>(to_send_.size());
  }
  std::function<void(const std::vector<std::uint8_t>&, std::uint32_t)> deliver() {
    return [this](const std::vector<std::uint8_t>& frame, std::uint32_t cut) {
      const std::vector<std::uint8_t> exact(
          frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(
                                             cut == ~std::uint32_t{0} ? frame.size() : cut % frame.size()));
      const iovec piece{const_cast<std::uint8_t*>(exact.data()), exact.size()};
      nat_.on_guest_frame(std::span(&piece, 1), {}, 0);
      nat_.on_guest_burst_end();
    };
  }
  void segment(Seq seq, std::uint8_t flags, const std::string& payload) {
    SegmentSpec spec{.dst_port = port_};
    spec.seq = seq;
    spec.flags = flags;
    spec.ack = (flags & kTcpAck) ? rcv_nxt_ : 0;
    const std::array<std::uint16_t, 5> windows = {0, 100, 1460, 20000, 65535};
    spec.window = established_ ? windows[random_() % windows.size()] : std::uint16_t{65535};
    spec.payload = payload;
    if (flags & kTcpSyn) spec.options = {2, 4, 5, 0xb4};
    out_.pass(build_segment(spec), true, deliver());
  }
  void acknowledge() { segment(next_, kTcpAck, {}); }
  bool send_one(std::size_t most) {
    const std::size_t at = next_ - iss_ - 1;
    if (at > to_send_.size()) return false;
    const std::string payload = to_send_.substr(at, most);
    const bool fin = at + payload.size() == to_send_.size();
    const Seq seq = next_;
    next_ += static_cast<Seq>(payload.size()) + (fin ? 1 : 0);
    max_ = seq_max(max_, next_);
    segment(seq, static_cast<std::uint8_t>(kTcpAck | (fin ? kTcpFin : 0)), payload);
    return true;
  }
  void take_now(const PublishedFrame& frame) {
    const Seen seen = take_apart(frame);
    if (seen.protocol != kProtocolTcp) return;
    if (seen.flags & kTcpRst) {
      reset = true;
      return;
    }
    if (seen.flags & kTcpSyn) {
      if (!established_) {
        established_ = true;
        rcv_nxt_ = seen.seq + 1;
        una_ = next_ = max_ = iss_ + 1;
        window_ = seen.window;
      }
      return acknowledge();
    }
    if (!established_) return;
    if (seq_ge(seen.ack, una_) && seq_le(seen.ack, max_)) {
      una_ = seen.ack;
      next_ = seq_max(next_, una_);
      window_ = seen.window;
    }
    const bool fin = (seen.flags & kTcpFin) != 0;
    if (seen.payload.empty() && !fin) return;
    const Seq end = seen.seq + static_cast<Seq>(seen.payload.size());
    if (seq_le(seen.seq, rcv_nxt_) && !fin_received) {
      if (seq_gt(end, rcv_nxt_)) {
        received += seen.payload.substr(rcv_nxt_ - seen.seq);
        rcv_nxt_ = end;
      }
      if (fin && rcv_nxt_ == end) {
        fin_received = true;
        ++rcv_nxt_;
      }
    }
    acknowledge();
  }

  Nat& nat_;
  const std::uint16_t port_;
  const std::string to_send_;
  std::minstd_rand random_;
  Wire<std::vector<std::uint8_t>> out_;
  Wire<PublishedFrame> in_;
  const Seq iss_;
  Seq una_;
  Seq next_;
  Seq max_ = 0;
  Seq rcv_nxt_ = 0;
  std::uint32_t window_ = 0;
  bool established_ = false;
};

bool is_prefix(const std::string& part, const std::string& whole) {
  return whole.compare(0, part.size(), part) == 0;
}

void check_streams(const Weather& weather, std::size_t up_bytes, std::size_t down_bytes, bool offload) {
  const std::string up = pattern(up_bytes, weather.seed);
  const std::string down = pattern(down_bytes, weather.seed + 7);
  VirtualLoop loop;
  FakePort port;
  port.offered = {.rx_csum = offload, .rx_tso4 = offload, .rx_tso6 = false};
  auto created = Nat::create({.allow_host_loopback = true, .mtu = 1500}, loop, port);
  RC_ASSERT(created.has_value());
  Nat& nat = **created;
  HostEnd host(down);
  LossyGuest guest(nat, host.port, up, weather);
  guest.start(loop.now_ns());
  const auto ended_early = [&] { return nat.counters().flows_opened != 0 && nat.counters().flows_open == 0; };
  for (int step = 0; step < kMaxSteps; ++step) {
    bool progress = host.step();
    progress |= loop.turn();
    while (!port.published.empty()) {
      const PublishedFrame frame = port.published.front();
      port.published.pop_front();
      guest.take(frame);
      progress = true;
    }
    progress |= guest.send_more(loop.now_ns());
    RC_ASSERT(is_prefix(host.received, up));
    RC_ASSERT(is_prefix(guest.received, down));
    if ((guest.done() && host.ended) || guest.reset || ended_early()) break;
    if (progress || guest.release()) continue;
    const std::uint64_t nat_due = loop.deadline_ns();
    loop.advance_to(nat_due == 0 ? guest.due_ns : std::min(nat_due, guest.due_ns));
    if (loop.now_ns() >= guest.due_ns) guest.timeout(loop.now_ns());
  }
  while (host.step()) {  // what is in its socket by now
  }
  const NatCounters& counters = nat.counters();
  if (counters[CloseReason::kGuestSilent] != 0) {
    RC_TAG("gave up, and said why");
    return;
  }
  // The guest may have lost the last acknowledgement of a flow that is over, which a reset then tells.
  // Not ==, which would print the streams.
  RC_ASSERT(host.received.size() == up.size());
  RC_ASSERT(guest.received.size() == down.size());
  RC_ASSERT(counters[CloseReason::kHostReset] + counters[CloseReason::kHostError] == 0U);
}

RC_GTEST_PROP(NatTcpProperty, StreamsAreIntactOnABadWire, ()) {
  Weather weather;
  weather.seed = *rc::gen::inRange<std::uint32_t>(1, 1U << 30);
  weather.lose = *rc::gen::inRange(0, 25);
  weather.repeat = *rc::gen::inRange(0, 25);
  weather.hold = *rc::gen::inRange(0, 25);
  weather.cut = *rc::gen::inRange(0, 15);
  const auto up = *rc::gen::inRange<std::size_t>(0, 60'000);
  const auto down = *rc::gen::inRange<std::size_t>(0, 150'000);
  check_streams(weather, up, down, *rc::gen::arbitrary<bool>());
}

}  // namespace
}  // namespace glassbox::net
