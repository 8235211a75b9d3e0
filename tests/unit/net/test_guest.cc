#include "test_guest.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "net/checksum.h"

namespace glassbox::net {
namespace {

constexpr long kPatienceSeconds = 60;  // not a measure of anything: only ends a test that hangs

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Seen take_apart(const PublishedFrame& frame) {
  Seen seen;
  seen.facts = frame.facts;
  const auto& b = frame.bytes;
  EXPECT_GE(b.size(), kEthernetHeader);
  EXPECT_EQ(b.size(), frame.facts.bytes);
  EXPECT_TRUE(std::equal(kGuestMac.begin(), kGuestMac.end(), b.begin()));
  seen.ethertype = load_be16(&b[12]);
  if (seen.ethertype != kEthertypeIpv4) {
    seen.payload.assign(b.begin() + kEthernetHeader, b.end());
    return seen;
  }
  const std::uint8_t* ip = &b[kEthernetHeader];
  Checksum header;
  header.add(std::span(ip, kIpv4Header));
  EXPECT_EQ(header.value(), 0) << "IP checksum";
  EXPECT_EQ(load_be16(ip + 2), b.size() - kEthernetHeader);
  seen.protocol = ip[9];
  seen.source = load_be32(ip + 12);
  seen.destination = load_be32(ip + 16);
  const std::uint8_t* l4 = ip + kIpv4Header;
  const std::size_t l4_bytes = b.size() - kEthernetHeader - kIpv4Header;
  if (seen.protocol != kProtocolTcp) {
    seen.payload.assign(l4, l4 + l4_bytes);
    return seen;
  }
  seen.source_port = load_be16(l4);
  seen.destination_port = load_be16(l4 + 2);
  seen.seq = load_be32(l4 + 4);
  seen.ack = load_be32(l4 + 8);
  const std::size_t offset = static_cast<std::size_t>(l4[12] >> 4) * 4;
  seen.flags = l4[13];
  seen.window = load_be16(l4 + 14);
  seen.options.assign(l4 + kTcpHeader, l4 + offset);
  seen.payload.assign(l4 + offset, l4 + l4_bytes);
  Checksum tcp;
  tcp.add_pseudo_header(seen.source, seen.destination, kProtocolTcp, l4_bytes);
  if (frame.facts.vnet.flags & 1) {
    EXPECT_EQ(load_be16(l4 + 16), tcp.partial()) << "pseudo-header checksum";
    EXPECT_EQ(frame.facts.vnet.csum_start, 34);
    EXPECT_EQ(frame.facts.vnet.csum_offset, 16);
    if (frame.facts.vnet.gso_type != 0) {
      EXPECT_EQ(frame.facts.vnet.gso_type, 1) << "TCP over IPv4 (virtio 1.2, 5.1.6)";
      EXPECT_EQ(frame.facts.vnet.hdr_len, kEthernetHeader + kIpv4Header + offset);
      EXPECT_GT(frame.facts.vnet.gso_size, 0);
      EXPECT_GT(seen.payload.size(), frame.facts.vnet.gso_size);
    }
  } else {
    tcp.add(std::span(l4, l4_bytes));
    EXPECT_EQ(tcp.value(), 0) << "TCP checksum";
  }
  EXPECT_EQ(frame.facts.seq, seen.seq);
  EXPECT_EQ(frame.facts.tcp_flags, seen.flags);
  return seen;
}

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

std::vector<std::uint8_t> build_ipv4(std::uint8_t protocol, Ipv4 destination, const std::string& payload,
                                     std::uint16_t fragment, Ipv4 source) {
  std::vector<std::uint8_t> frame(kEthernetHeader + kIpv4Header);
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), frame.begin());
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeIpv4);
  std::uint8_t* ip = &frame[kEthernetHeader];
  ip[0] = 0x45;
  store_be16(ip + 2, static_cast<std::uint16_t>(kIpv4Header + payload.size()));
  store_be16(ip + 6, fragment);
  ip[8] = 64;
  ip[9] = protocol;
  store_be32(ip + 12, source);
  store_be32(ip + 16, destination);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(ip, kIpv4Header));
  store_be16(ip + 10, sum.value());
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

void set_ttl(std::vector<std::uint8_t>& frame, std::uint8_t ttl) {
  std::uint8_t* ip = &frame[kEthernetHeader];
  ip[8] = ttl;
  store_be16(ip + 10, 0);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(ip, kIpv4Header));
  store_be16(ip + 10, sum.value());
}

std::vector<std::uint8_t> build_segment(const SegmentSpec& s) {
  std::string tcp(kTcpHeader + s.options.size(), '\0');
  auto* t = reinterpret_cast<std::uint8_t*>(tcp.data());
  store_be16(t, s.guest_port);
  store_be16(t + 2, s.dst_port);
  store_be32(t + 4, s.seq);
  store_be32(t + 8, s.ack);
  t[12] = static_cast<std::uint8_t>((tcp.size() / 4) << 4);
  t[13] = s.flags;
  store_be16(t + 14, s.window);
  store_be16(t + 18, s.urgent);
  std::copy(s.options.begin(), s.options.end(), tcp.begin() + kTcpHeader);
  tcp += s.payload;
  Checksum sum;
  sum.add_pseudo_header(kGuestIp, s.dst, kProtocolTcp, tcp.size());
  sum.add(bytes_of(tcp));
  store_be16(reinterpret_cast<std::uint8_t*>(tcp.data()) + 16, sum.value());
  return build_ipv4(kProtocolTcp, s.dst, tcp, s.fragment);
}

std::vector<std::uint8_t> build_arp(Ipv4 target) {
  std::vector<std::uint8_t> frame(kEthernetHeader + kArpPacket);
  std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeArp);
  const std::vector<std::uint8_t> head = {0, 1, 8, 0, 6, 4, 0, 1};
  std::copy(head.begin(), head.end(), frame.begin() + kEthernetHeader);
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + kEthernetHeader + 8);
  store_be32(&frame[kEthernetHeader + 14], kGuestIp);
  store_be32(&frame[kEthernetHeader + 24], target);
  return frame;
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

Server::Server(std::function<void(int fd)> serve, int backlog)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener_.get(), backlog), 0);
  EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, serve = std::move(serve)] {
    while (!stop_) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) break;
      ++accepted_;
      serve(fd.get());
    }
  });
}

Server::~Server() {
  stop_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

std::string read_all(int fd) {
  return read_some(fd, ~std::size_t{0});
}

std::string read_some(int fd, std::size_t at_least) {
  std::string out;
  std::vector<char> buffer(65536);
  while (out.size() < at_least) {
    const ssize_t n = ::recv(fd, buffer.data(), std::min(buffer.size(), at_least - out.size()), 0);
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

void write_all(int fd, const std::string& data) {
  std::size_t at = 0;
  while (at < data.size()) {
    const ssize_t n = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n <= 0) break;
    at += static_cast<std::size_t>(n);
  }
}

std::string pattern(std::size_t bytes, unsigned seed) {
  std::string out(bytes, '\0');
  std::uint32_t state = seed * 2654435761U + 1;
  for (char& c : out) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  return out;
}

std::uint16_t closed_port(int type) {
  const UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

}  // namespace glassbox::net
