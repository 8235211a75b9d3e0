// The frame entry of the NAT as a function of bytes, for libFuzzer and for the replay of saved inputs.
//
// An input is a sequence of frames: 1 byte of flags, 2 bytes of length (big-endian), the frame. The target is
// mainly about frames that are shorter or longer than they claim. The flags ask it to repair what a fuzzer
// cannot guess; otherwise almost no input would pass the first checksum:
//   1  the checksums of the IPv4 header, of ICMP and ICMPv6
//   2  TCP: the acknowledgement number follows what the NAT sent last
//   4  TCP: the sequence number follows what the NAT acknowledged last
//   8  half a minute passes before the frame
// TCP and UDP checksums count as offloaded. Port 7 of the gateway is an echo server; nothing else can be
// reached.
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/flow/seq.h"
#include "net/host/socket_address.h"
#include "net/link/checksum.h"
#include "net/nat.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/net/fake_port.h"
#include "tests/unit/net/loop/virtual_loop.h"

namespace glassbox::net {
namespace {

using fuzz::insist;

constexpr std::uint8_t kFixChecksums = 1, kFixAck = 2, kFixSeq = 4, kPassTime = 8;
constexpr std::uint16_t kEchoPort = 7;
constexpr std::size_t kIp = kEthernetHeader;

// An echo server on one free port of both loopback addresses.
class EchoServer {
 public:
  EchoServer() : listeners_{listen_on(AF_INET, port), listen_on(AF_INET6, port)} {
    insist(static_cast<bool>(listeners_[0]), "no listener");
  }
  void step() {
    for (const UniqueFd& listener : listeners_) {
      for (;;) {
        UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) break;
        open_.push_back(std::move(fd));
      }
    }
    std::erase_if(open_, [](const UniqueFd& fd) { return !echo(fd.get()); });
  }
  void close_all() { open_.clear(); }
  std::uint16_t port = 0;  // before the listeners, which set and read it

 private:
  // The first family chooses the port. If the second family is missing or cannot have it, only the first is
  // served.
  static UniqueFd listen_on(int family, std::uint16_t& port) {
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    SocketAddress address(family == AF_INET ? IpAddress::from_v4(INADDR_LOOPBACK) : kLoopback6, port);
    if (::bind(fd.get(), address.get(), address.length()) != 0 || ::listen(fd.get(), 64) != 0) return {};
    SocketAddress bound;
    ::getsockname(fd.get(), bound.get(), bound.length_out());
    port = bound.port();
    return fd;
  }
  static bool echo(int fd) {
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n > 0) (void)!::send(fd, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
    return n > 0 || (n < 0 && errno == EAGAIN);
  }
  std::array<UniqueFd, 2> listeners_;
  std::vector<UniqueFd> open_;
};

// Offset of a frame's transport header, for frames without IP options and extension headers; 0 if there is
// none.
struct Transport {
  std::size_t at = 0;
  std::uint8_t protocol = 0;
  IpAddress source, destination;
};
Transport transport_of(const std::vector<std::uint8_t>& b) {
  if (b.size() >= kIp + kIpv4Header && load_be16(&b[12]) == kEthertypeIpv4 && b[kIp] == 0x45) {
    return {kIp + kIpv4Header, b[kIp + 9], IpAddress::from_v4(load_be32(&b[kIp + 12])),
            IpAddress::from_v4(load_be32(&b[kIp + 16]))};
  }
  if (b.size() >= kIp + kIpv6Header && load_be16(&b[12]) == kEthertypeIpv6) {
    return {kIp + kIpv6Header, b[kIp + 6], IpAddress::load(&b[kIp + 8]), IpAddress::load(&b[kIp + 24])};
  }
  return {};
}

// All networks except 10.0.2.0/24 and fd00:10:0:2::/64: the fuzzer must not reach other hosts.
std::vector<Cidr> the_world() {
  std::vector<Cidr> networks;
  for (unsigned prefix = 1; prefix <= kNetworkPrefix; ++prefix) {
    const Ipv4 bit = Ipv4{1} << (32 - prefix);
    networks.push_back(Cidr::v4((kNetwork ^ bit) & ~(bit - 1), prefix));
  }
  for (unsigned prefix = 1; prefix <= kNetwork6Prefix; ++prefix) {
    const std::uint64_t bit = std::uint64_t{1} << (64 - prefix);
    networks.push_back({{(kNetwork6 ^ bit) & ~(bit - 1), 0}, prefix});
  }
  return networks;
}

class FuzzedNat {
 public:
  explicit FuzzedNat(EchoServer& server) : server_(server) {
    auto created = Nat::create({.allow_host_loopback = true,
                                .mtu = 1500,
                                .loopback_ports = {server.port},
                                .deny = the_world(),
                                .dns = {IpAddress::from_v4(INADDR_LOOPBACK)}},
                               loop_, port_);
    insist(created.has_value(), "no NAT");
    nat_ = std::move(*created);
  }

  void frame(std::uint8_t flags, std::vector<std::uint8_t> bytes) {
    if (flags & kPassTime) loop_.advance_to(loop_.now_ns() + 30'000'000'000ULL);
    repair(flags, bytes);
    const iovec piece{bytes.data(), bytes.size()};
    nat_->on_guest_frame(std::span(&piece, 1), {.flags = 1}, 0);
    nat_->on_guest_burst_end();
    for (int i = 0; i < 3; ++i) {
      loop_.turn();
      server_.step();
    }
    look_at_answers();
  }

 private:
  void repair(std::uint8_t flags, std::vector<std::uint8_t>& b) {
    const Transport t = transport_of(b);
    if (t.at == 0 || b.size() < t.at + 4) return;
    if (t.protocol == kProtocolTcp) {
      if (load_be16(&b[t.at + 2]) == kEchoPort) store_be16(&b[t.at + 2], server_.port);
      if (b.size() >= t.at + 12 && (flags & kFixSeq)) store_be32(&b[t.at + 4], ack_);
      if (b.size() >= t.at + 12 && (flags & kFixAck)) store_be32(&b[t.at + 8], seq_);
    }
    if (!(flags & kFixChecksums)) return;
    Checksum message;
    if (t.protocol == kProtocolIcmpv6) {
      message.add_pseudo_header(t.source, t.destination, t.protocol, b.size() - t.at);
    }
    if (t.protocol == kProtocolIcmpv6 || t.protocol == kProtocolIcmp) {
      store_be16(&b[t.at + 2], 0);
      message.add(std::span<const std::uint8_t>(b).subspan(t.at));
      store_be16(&b[t.at + 2], message.value());
    }
    if (!t.source.is_v4()) return;
    store_be16(&b[kIp + 10], 0);
    Checksum header;
    header.add(std::span<const std::uint8_t>(b).subspan(kIp, kIpv4Header));
    store_be16(&b[kIp + 10], header.value());
  }

  void look_at_answers() {
    for (const PublishedFrame& frame : port_.published) {
      const auto& b = frame.bytes;
      insist(b.size() >= kEthernetHeader && b.size() == frame.facts.bytes, "a frame's length is wrong");
      const Transport t = transport_of(b);
      if (t.at == 0) continue;
      const std::size_t length =
          t.source.is_v4() ? load_be16(&b[kIp + 2]) : load_be16(&b[kIp + 4]) + kIpv6Header;
      insist(length == b.size() - kIp, "an IP length is wrong");
      if (t.protocol != kProtocolTcp) continue;
      insist(b.size() >= t.at + kTcpHeader, "a TCP segment is short");
      const std::size_t header = std::size_t{4} * (b[t.at + 12] >> 4);
      const std::uint8_t tcp_flags = b[t.at + 13];
      seq_ = load_be32(&b[t.at + 4]) + static_cast<Seq>(b.size() - t.at - header) +
             ((tcp_flags & (kTcpSyn | kTcpFin)) != 0 ? 1 : 0);
      if (tcp_flags & kTcpAck) ack_ = load_be32(&b[t.at + 8]);
    }
    port_.published.clear();
  }

  EchoServer& server_;
  VirtualLoop loop_;
  FakePort port_;
  std::unique_ptr<Nat> nat_;
  Seq seq_ = 0;
  Seq ack_ = 0;
};

}  // namespace
}  // namespace glassbox::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static glassbox::net::EchoServer server;
  glassbox::fuzz::Input input(data, size);
  {
    glassbox::net::FuzzedNat session(server);
    while (input.left() >= 3) {
      const std::uint8_t flags = input.byte();
      session.frame(flags, input.bytes(input.be16()));
    }
  }
  server.close_all();
  return 0;
}
