#include "test_guest.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>

namespace glassbox::net {
namespace {

constexpr long kPatienceSeconds = 60;  // not a measure of anything: only ends a test that hangs

}  // namespace

class Bench::Alarm final : public FdHandler {
 public:
  explicit Alarm(EventLoop& loop)
      : loop_(loop), fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    EXPECT_TRUE(loop.add(fd_.get(), EPOLLIN | EPOLLET, this));
  }
  ~Alarm() override { loop_.remove(fd_.get()); }
  void set(long seconds, long ns) {
    rang = false;
    const itimerspec when{{0, 0}, {seconds, ns}};
    ::timerfd_settime(fd_.get(), 0, &when, nullptr);
  }
  void on_fd_ready(std::uint32_t) override {
    rang = true;
    loop_.stop();
  }
  bool rang = false;

 private:
  EventLoop& loop_;
  UniqueFd fd_;
};

Bench::Bench(const NatConfig& config) : loop(std::move(*EventLoop::create(ProbeMode::kNetPoll))) {
  auto created = Nat::create(config, *loop, port);
  EXPECT_TRUE(created.has_value());
  nat = std::move(*created);
  alarm_ = std::make_unique<Alarm>(*loop);
  loop->at_turn_end([this] {
    if (condition_ && condition_()) loop->stop();
    // The condition may have made the guest answer, after the NAT's own end of the turn: have another turn.
    if (port.rx_queued() != 0) loop->post([] {});
  });
}

Bench::~Bench() {
  alarm_.reset();
  nat.reset();
}

bool Bench::run_until(const std::function<bool()>& condition) {
  // One turn at least, so that what was injected is published.
  condition_ = condition;
  alarm_->set(kPatienceSeconds, 0);
  loop->post([] {});
  loop->run();
  const bool rang = alarm_->rang;  // which setting it forgets
  alarm_->set(0, 0);
  condition_ = nullptr;
  EXPECT_FALSE(rang) << "nothing came of it";
  return !rang;
}

void Bench::run_for_ms(unsigned ms) {
  alarm_->set(ms / 1000, static_cast<long>(ms % 1000) * 1'000'000 + 1);
  loop->post([] {});
  loop->run();
}

void Bench::inject(const std::vector<std::uint8_t>& frame, const VnetHeader& vnet) {
  // An allocation of exactly the frame's size, so that a sanitizer sees a read beyond it.
  auto copy = std::make_unique<std::uint8_t[]>(frame.size());
  std::copy(frame.begin(), frame.end(), copy.get());
  const iovec piece{copy.get(), frame.size()};
  nat->on_guest_frame(std::span(&piece, 1), vnet, 1);
}

std::optional<Seen> Bench::next_frame() {
  if (port.published.empty() && !run_until([this] { return !port.published.empty(); })) return std::nullopt;
  Seen seen = take_apart(port.published.front());
  port.published.pop_front();
  return seen;
}

void GuestTcp::send_syn() {
  SegmentSpec spec{.guest_port = guest_port_, .dst_port = dst_port_, .dst = dst_};
  spec.seq = iss;
  spec.flags = kTcpSyn;
  const auto high = static_cast<std::uint8_t>(mss >> 8);
  const auto low = static_cast<std::uint8_t>(mss);
  spec.options = offer_scale ? std::vector<std::uint8_t>{2, 4, high, low, 1, 3, 3, *offer_scale}
                             : std::vector<std::uint8_t>{2, 4, high, low};
  spec.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(window_bytes, 65535));
  snd_nxt = iss + 1;
  bench_.inject(build_segment(spec));
  bench_.end_burst();
}

bool GuestTcp::connect() {
  send_syn();
  if (!run_until([this] { return syn_acked || reset_received; }) || !syn_acked) return false;
  send_ack();
  return true;
}

std::uint16_t GuestTcp::wire_window() const {
  const unsigned scale = offer_scale && peer_scale_ >= 0 ? std::min<unsigned>(*offer_scale, 14) : 0;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(window_bytes >> scale, 65535));
}

void GuestTcp::send_at(Seq seq, std::uint8_t flags, const std::string& payload) {
  SegmentSpec spec{.guest_port = guest_port_, .dst_port = dst_port_, .dst = dst_};
  spec.seq = seq;
  spec.ack = rcv_nxt;
  spec.flags = flags;
  spec.window = wire_window();
  spec.payload = payload;
  bench_.inject(build_segment(spec));
  bench_.end_burst();
}

void GuestTcp::send(std::uint8_t flags, const std::string& payload) {
  send_at(snd_nxt, flags, payload);
  snd_nxt += static_cast<Seq>(payload.size()) + ((flags & kTcpFin) ? 1 : 0);
}

bool GuestTcp::send_all(const std::string& data, std::size_t frame_bytes) {
  std::size_t at = 0;
  while (at < data.size()) {
    const std::uint32_t in_flight = snd_nxt - acked;
    const std::size_t room = peer_window > in_flight ? peer_window - in_flight : 0;
    if (room == 0) {
      if (!run_until([&] { return reset_received || peer_window > snd_nxt - acked; })) return false;
      if (reset_received) return false;
      continue;
    }
    const std::size_t n = std::min({room, frame_bytes, data.size() - at});
    send(kTcpAck | kTcpPsh, data.substr(at, n));
    at += n;
    pump();
  }
  return true;
}

void GuestTcp::pump() {
  while (!bench_.port.published.empty()) {
    const Seen seen = take_apart(bench_.port.published.front());
    bench_.port.published.pop_front();
    take(seen);
  }
}

void GuestTcp::take(const Seen& seen) {
  if (seen.protocol == kProtocolIcmp) {
    unreachable_received = true;
    return;
  }
  if (seen.protocol != kProtocolTcp || seen.destination_port != guest_port_) return;
  ++frames;
  if (seen.flags & kTcpRst) {
    reset_received = true;
    return;
  }
  if (seen.flags & kTcpSyn) {
    syn_ack = seen;
    syn_acked = true;
    peer_scale_ = -1;
    for (std::size_t i = 0; i < seen.options.size();) {
      if (seen.options[i] <= 1) {
        ++i;
        continue;
      }
      if (seen.options[i] == 3) peer_scale_ = seen.options[i + 2];
      i += std::max<std::size_t>(seen.options[i + 1], 2);
    }
    rcv_nxt = seen.seq + 1;
    acked = seen.ack;
    peer_window = seen.window;
    return;
  }
  if (seq_ge(seen.ack, acked)) {
    acked = seen.ack;
    const int scale = peer_scale_ > 0 && offer_scale ? peer_scale_ : 0;
    peer_window = std::uint32_t{seen.window} << scale;
    // The right edge of a window never moves back (RFC 9293, 3.8.6), but for what the scale rounds off.
    const Seq edge = acked + peer_window + (1U << scale) - 1;
    EXPECT_TRUE(!window_seen_ || seq_ge(edge, window_edge_)) << window_edge_ - edge;
    window_edge_ = acked + peer_window;
    window_seen_ = true;
  }
  largest_payload = std::max(largest_payload, seen.payload.size());
  const bool fin = (seen.flags & kTcpFin) != 0;
  if (seen.payload.empty() && !fin) {
    if (seen.seq != rcv_nxt && auto_ack) send_ack();  // a probe
    return;
  }
  if (seen.seq == rcv_nxt) {
    received += seen.payload;
    rcv_nxt += static_cast<Seq>(seen.payload.size());
    if (fin) {
      fin_received = true;
      ++rcv_nxt;
    }
  }
  if (auto_ack) send_ack();
}

bool GuestTcp::run_until(const std::function<bool()>& condition) {
  return bench_.run_until([&] {
    pump();
    return condition();
  });
}

}  // namespace glassbox::net
