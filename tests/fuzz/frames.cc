// The frame entry of the NAT as a function of bytes, for libFuzzer and for the replay of saved inputs.
//
// An input is a sequence of frames: 1 byte of flags, 2 bytes of length (big-endian), the frame. Frames that
// are too short or too long for what they claim are the point; what cannot be guessed is repaired where the
// flags ask for it, or hardly any input would get past the first checksum:
//   1  the IP header's checksum     2  TCP: the acknowledgement number follows what the NAT sent last
//   4  TCP: the sequence number follows what the NAT acknowledged last
//   8  half a minute passes before the frame
// TCP and UDP checksums count as offloaded. Port 7 of 10.0.2.2 is an echo server; nothing else can be
// reached.
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/checksum.h"
#include "net/nat.h"
#include "net/seq.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/net/fake_port.h"
#include "tests/unit/net/virtual_loop.h"

namespace glassbox::net {
namespace {

using fuzz::insist;

constexpr std::uint8_t kFixIpChecksum = 1, kFixAck = 2, kFixSeq = 4, kPassTime = 8;
constexpr std::uint16_t kEchoPort = 7;
constexpr std::size_t kIp = kEthernetHeader;
constexpr std::size_t kPlainTcp = kEthernetHeader + kIpv4Header;  // where TCP begins without IP options

// Listens on a port of its own and sends back what it gets.
class EchoServer {
 public:
  EchoServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* name = reinterpret_cast<sockaddr*>(&address);
    insist(::bind(listener_.get(), name, sizeof(address)) == 0 && ::listen(listener_.get(), 64) == 0 &&
               ::getsockname(listener_.get(), name, &length) == 0,
           "no listener");
    port = ntohs(address.sin_port);
  }
  void step() {
    for (;;) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) break;
      open_.push_back(std::move(fd));
    }
    std::erase_if(open_, [](const UniqueFd& fd) { return !echo(fd.get()); });
  }
  void close_all() { open_.clear(); }
  std::uint16_t port = 0;

 private:
  static bool echo(int fd) {
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n > 0) (void)!::send(fd, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
    return n > 0 || (n < 0 && errno == EAGAIN);
  }
  UniqueFd listener_;
  std::vector<UniqueFd> open_;
};

// Everything but 10.0.2.0/24 and fd00::/64: the fuzzer must not talk to the world.
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

class Session {
 public:
  explicit Session(EchoServer& server) : server_(server) {
    auto created = Nat::create(
        {.allow_host_loopback = true, .mtu = 1500, .loopback_ports = {server.port}, .deny = the_world()},
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
    if (b.size() < kPlainTcp + 4 || load_be16(&b[12]) != kEthertypeIpv4) return;
    const bool tcp = b[kIp + 9] == kProtocolTcp && b[kIp] == 0x45;
    if (tcp && load_be16(&b[kPlainTcp + 2]) == kEchoPort) store_be16(&b[kPlainTcp + 2], server_.port);
    if (tcp && b.size() >= kPlainTcp + 12) {
      if (flags & kFixSeq) store_be32(&b[kPlainTcp + 4], ack_);
      if (flags & kFixAck) store_be32(&b[kPlainTcp + 8], seq_);
    }
    if ((flags & kFixIpChecksum) && b.size() >= kIp + std::size_t{4} * (b[kIp] & 15U)) {
      store_be16(&b[kIp + 10], 0);
      Checksum sum;
      sum.add(std::span<const std::uint8_t>(b).subspan(kIp, std::size_t{4} * (b[kIp] & 15U)));
      store_be16(&b[kIp + 10], sum.value());
    }
  }

  void look_at_answers() {
    for (const PublishedFrame& frame : port_.published) {
      const auto& b = frame.bytes;
      insist(b.size() >= kEthernetHeader && b.size() == frame.facts.bytes, "a frame's length is wrong");
      if (load_be16(&b[12]) != kEthertypeIpv4) continue;
      insist(b.size() >= kPlainTcp && load_be16(&b[kIp + 2]) == b.size() - kIp, "an IP length is wrong");
      if (b[kIp + 9] != kProtocolTcp) continue;
      insist(b.size() >= kPlainTcp + kTcpHeader, "a TCP segment is short");
      const std::size_t header = std::size_t{4} * (b[kPlainTcp + 12] >> 4);
      const std::uint8_t tcp_flags = b[kPlainTcp + 13];
      seq_ = load_be32(&b[kPlainTcp + 4]) + static_cast<Seq>(b.size() - kPlainTcp - header) +
             ((tcp_flags & (kTcpSyn | kTcpFin)) != 0 ? 1 : 0);
      if (tcp_flags & kTcpAck) ack_ = load_be32(&b[kPlainTcp + 8]);
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
    glassbox::net::Session session(server);
    while (input.left() >= 3) {
      const std::uint8_t flags = input.byte();
      session.frame(flags, input.bytes(input.be16()));
    }
  }
  server.close_all();
  return 0;
}
