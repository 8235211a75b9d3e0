// TCP through the NAT as a script of what a hostile guest and a careless server do.
//
// An input is a list of steps: a byte that says which (upper six bits) and on which of three connections
// (lower two), then operands as take_step() reads them. Whatever the script, this must hold (see Connection):
// - each side gets a prefix of what the other sent, and the end of the stream only at its true place
// - only sent bytes are acknowledged; acknowledgements and the window's right edge never move back
// - the guest gets no byte beyond a window it has offered
// - a step is over after a bounded number of turns and frames
// - once the servers are gone and the guest is silent, timers end all flows and close their sockets
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <vector>

#include "net/flow/seq.h"
#include "net/link/checksum.h"
#include "net/nat.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tcp_connection.h"
#include "tests/unit/net/fake_port.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "vmm/base/clock.h"

namespace glassbox::net {
namespace {

using fuzz::Input;
using fuzz::insist;

constexpr std::size_t kIp = kEthernetHeader;
constexpr std::size_t kTcp = kEthernetHeader + kIpv4Header;
constexpr std::uint16_t kGuestPort = 40000;
constexpr unsigned kConnections = 3;
constexpr int kMostTurns = 200;
constexpr std::size_t kMostFrames = 4096;
constexpr std::uint64_t kLifeNs = 4ULL * 3600 * 1000 * kNsPerMs;  // longer than any time-out

UniqueFd listen_on_loopback(std::uint16_t& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  insist(::bind(fd.get(), name, sizeof(address)) == 0 && ::listen(fd.get(), 1) == 0 &&
             ::getsockname(fd.get(), name, &length) == 0,
         "no listener");
  port = ntohs(address.sin_port);
  return fd;
}

struct Segment {
  std::uint32_t seq = 0;  // relative to the guest's first byte
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint32_t bytes = 0;
  std::vector<std::uint8_t> options;
};

class Script {
 public:
  Script() {
    NatConfig config{.allow_host_loopback = true, .mtu = 1500};
    for (Connection& connection : connections_) {
      connection.listener = listen_on_loopback(connection.port);
      config.loopback_ports.push_back(connection.port);
    }
    auto created = Nat::create(config, loop_, port_);
    insist(created.has_value(), "no NAT");
    nat_ = std::move(*created);
    watched_ = loop_.watched();
  }

  void run(Input& input) {
    while (!input.empty()) {
      take_step(input);
      if (held_ != 0 && --held_ != 0) continue;
      settle();
    }
    held_ = 0;
    finish();
  }

 private:
  enum Step : std::uint8_t {
    kSyn,
    kData,
    kDataElsewhere,
    kAcknowledge,
    kReset,
    kAnything,
    kAccept,
    kHostSend,
    kHostReceive,
    kHostShut,
    kHostClose,
    kHostReset,
    kPassTime,
    kNextDeadline,
    kBuffers,
    kHold,
    kSteps
  };

  void take_step(Input& input) {
    const std::uint8_t first = input.byte();
    const unsigned index = (first & 3U) % kConnections;
    Connection& c = connections_[index];
    Segment s;
    s.seq = c.next;
    s.ack = c.rcv_nxt;
    s.flags = kTcpAck;
    switch (static_cast<Step>((first >> 2) % kSteps)) {
      case kSyn:
        return syn(index, input);
      case kData:
        s.bytes = input.be16() % 3000;
        s.window = input.be16();
        if (input.byte() & 1) s.flags |= kTcpFin;
        c.next += s.bytes;
        return segment(index, s);
      case kDataElsewhere:
        s.seq += static_cast<std::uint32_t>(static_cast<std::int16_t>(input.be16()));
        s.bytes = input.be16() % 3000;
        s.window = 4096;
        return segment(index, s);
      case kAcknowledge:
        s.ack += static_cast<Seq>(static_cast<std::int8_t>(input.byte()));
        s.window = input.be16();
        return segment(index, s);
      case kReset:
        s.seq += static_cast<std::uint32_t>(static_cast<std::int8_t>(input.byte()));
        s.flags = kTcpRst;
        return segment(index, s);
      case kAnything:
        s.flags = input.byte() & static_cast<std::uint8_t>(~kTcpSyn);
        s.seq += static_cast<std::uint32_t>(static_cast<std::int16_t>(input.be16()));
        s.ack += static_cast<std::uint32_t>(static_cast<std::int16_t>(input.be16()));
        s.window = input.be16();
        s.bytes = input.byte();
        return segment(index, s);
      case kAccept:
        if (UniqueFd fd(::accept4(c.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)); fd) {
          c.hosts.push_back({std::move(fd)});
        }
        return;
      case kHostSend:
        return c.host_send(input.be16());
      case kHostReceive:
        return c.host_receive(input.be16());
      case kHostShut:
        if (c.hosts.empty()) return;
        c.from_host.end_at(c.hosts.back().sent);
        ::shutdown(c.hosts.back().fd.get(), SHUT_WR);
        return;
      case kHostClose:
        return c.host_close(false);
      case kHostReset:
        return c.host_close(true);
      case kPassTime:
        return loop_.advance_to(loop_.now_ns() + input.be16() * kNsPerMs);
      case kNextDeadline:
        return loop_.advance_to(loop_.deadline_ns());
      case kBuffers: {
        const std::uint8_t frames = input.byte();
        return port_.give_buffers(frames == 255 ? ~std::size_t{0} : frames);
      }
      case kHold:
        held_ = 2 + input.byte() % 16U;
        return;
      case kSteps:
        return;
    }
  }

  void syn(unsigned index, Input& input) {
    Connection& c = connections_[index];
    Segment s;
    s.seq = ~std::uint32_t{0};
    s.flags = kTcpSyn;
    s.window = input.be16();
    const std::uint8_t what = input.byte();
    if (what & 1) s.options.insert(s.options.end(), {2, 4, input.byte(), input.byte()});
    if (what & 2) s.options.insert(s.options.end(), {1, 3, 3, input.byte()});
    // Any of the SYNs may open the flow, so the largest window scale among them is the limit.
    if (what & 2) c.scale = std::max(c.scale, std::min<std::uint8_t>(s.options.back() & 0x7f, 14));
    syn_window_ = std::max<std::uint32_t>(syn_window_, s.window);
    segment(index, s);
  }

  void segment(unsigned index, const Segment& s) {
    Connection& c = connections_[index];
    std::vector<std::uint8_t> frame(kTcp + kTcpHeader);
    std::copy(kGatewayMac.begin(), kGatewayMac.end(), frame.begin());
    std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
    store_be16(&frame[12], kEthertypeIpv4);
    std::uint8_t* ip = &frame[kIp];
    ip[0] = 0x45;
    store_be16(ip + 2, static_cast<std::uint16_t>(kIpv4Header + kTcpHeader + s.options.size() + s.bytes));
    ip[8] = 64;
    ip[9] = kProtocolTcp;
    store_be32(ip + 12, kGuestIp);
    store_be32(ip + 16, kGatewayIp);
    Checksum sum;
    sum.add(std::span<const std::uint8_t>(ip, kIpv4Header));
    store_be16(ip + 10, sum.value());
    std::uint8_t* tcp = &frame[kTcp];
    store_be16(tcp, static_cast<std::uint16_t>(kGuestPort + index));
    store_be16(tcp + 2, c.port);
    store_be32(tcp + 4, kIss + 1 + s.seq);
    store_be32(tcp + 8, s.ack);
    tcp[12] = static_cast<std::uint8_t>(((kTcpHeader + s.options.size()) / 4) << 4);
    tcp[13] = s.flags;
    store_be16(tcp + 14, s.window);
    frame.insert(frame.end(), s.options.begin(), s.options.end());
    for (std::uint32_t i = 0; i < s.bytes; ++i)
      frame.push_back(guest_byte(s.seq + i));
    if (!(s.flags & kTcpSyn)) {
      c.ahead |= static_cast<std::int32_t>(s.seq - c.next) > 0 || c.from_guest.ends_before(s.seq) ||
                 seq_gt(kIss + 1 + s.seq, c.window_edge);
      // Bytes before the beginning of the stream do not belong to it.
      const bool before = s.seq > ~std::uint32_t{0} / 2;
      const std::uint32_t skipped = before ? std::min(0U - s.seq, s.bytes) : 0;
      c.from_guest.add(s.seq + skipped, s.bytes - skipped);
      if ((s.flags & kTcpFin) && s.seq + s.bytes <= ~std::uint32_t{0} / 2)
        c.from_guest.end_at(s.seq + s.bytes);
      const Seq edge = s.ack + (std::uint32_t{s.window} << c.scale);
      c.offered = seq_max(c.offered, edge);
    }
    const iovec piece{frame.data(), frame.size()};
    nat_->on_guest_frame(std::span(&piece, 1), {.flags = 1}, 0);
  }

  void settle() {
    nat_->on_guest_burst_end();
    int turns = 0;
    while (loop_.turn())
      insist(++turns < kMostTurns, "the loop spins");
    insist(port_.published.size() < kMostFrames, "frames without end");
    while (!port_.published.empty()) {
      look_at(port_.published.front());
      port_.published.pop_front();
    }
  }

  void look_at(const PublishedFrame& frame) {
    const auto& b = frame.bytes;
    insist(b.size() >= kTcp && b.size() == frame.facts.bytes, "a frame's length is wrong");
    if (b[kIp + 9] != kProtocolTcp) return;
    insist(load_be16(&b[kIp + 2]) == b.size() - kIp && b.size() >= kTcp + kTcpHeader, "a length is wrong");
    const unsigned index = load_be16(&b[kTcp + 2]) - std::uint32_t{kGuestPort};
    insist(index < kConnections, "a frame for a connection that does not exist");
    Connection& c = connections_[index];
    const Seq seq = load_be32(&b[kTcp + 4]);
    const Seq ack = load_be32(&b[kTcp + 8]);
    const std::size_t header = std::size_t{4} * (b[kTcp + 12] >> 4);
    const std::uint8_t flags = b[kTcp + 13];
    const std::uint32_t window = load_be16(&b[kTcp + 14]);
    if (flags & kTcpRst) return;
    insist((flags & kTcpAck) != 0, "a segment acknowledges nothing");
    if (flags & kTcpSyn) return c.take_syn_ack(seq, ack, window, header > kTcpHeader + 4, syn_window_);
    if (!c.known) return insist(false, "data before the SYN-ACK");
    c.take_ack(ack, window << (c.nat_scales ? 7 : 0));
    c.take_payload(seq, std::span(b).subspan(kTcp + header), (flags & kTcpFin) != 0);
  }

  // All servers close and the guest falls silent.
  void finish() {
    for (Connection& c : connections_) {
      while (!c.hosts.empty())
        c.host_close(false);
      c.listener.reset();
    }
    port_.give_buffers(~std::size_t{0});
    settle();
    const std::uint64_t end_ns = loop_.now_ns() + kLifeNs;
    for (int step = 0; nat_->counters().flows_open != 0; ++step) {
      insist(loop_.deadline_ns() != 0, "a flow without a timer");
      insist(loop_.deadline_ns() <= end_ns && step < 100'000,
             "a flow without servers and guest does not end");
      loop_.advance_to(loop_.deadline_ns());
      settle();
    }
    insist(nat_->counters().flows_connecting == 0, "connecting, with no flow");
    insist(loop_.watched() == watched_, "a socket is left");
  }

  VirtualLoop loop_;
  FakePort port_;
  std::array<Connection, kConnections> connections_;
  std::unique_ptr<Nat> nat_;
  std::size_t watched_ = 0;
  unsigned held_ = 0;
  std::uint32_t syn_window_ = 0;
};

}  // namespace
}  // namespace glassbox::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  glassbox::fuzz::Input input(data, size);
  glassbox::net::Script().run(input);
  return 0;
}
