#include "tools/bench/stacks/bare_nat.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstring>

#include "net/inet.h"
#include "net/link/checksum.h"
#include "net/link/guest_link.h"
#include "net/nat.h"
#include "net/netns/netns.h"
#include "vmm/base/io.h"

namespace glassbox::bench {
namespace {

using namespace glassbox::net;

constexpr std::size_t kVnet = 12;
constexpr std::size_t kHeaders = kEthernetHeader + kIpv4Header + kTcpHeader;
constexpr std::size_t kMaxPayload = 1400;
constexpr std::uint64_t kTapTag = 1U << 16;  // beyond every guest port
constexpr std::uint64_t kChildTag = kTapTag + 1;

struct Flow {
  UniqueFd socket;
  Ipv4 dst = 0;
  std::uint16_t guest_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t next_to_guest = 0;
  std::uint32_t next_from_guest = 0;
  bool host_ended = false;
  bool guest_ended = false;
};

class BareNat {
 public:
  BareNat(NamespaceChild child, UniqueFd epoll)
      : child_(std::move(child)), epoll_(std::move(epoll)), flows_(1U << 16) {}

  Result<int> run(bool spin) {
    GB_TRY(watch(child_.tap.get(), EPOLLIN, kTapTag));
    GB_TRY(watch(child_.pid_fd.get(), EPOLLIN, kChildTag));
    const char go = 1;
    if (::write(child_.go.get(), &go, 1) != 1) return fail_errno(errno, "cannot start the command");
    for (;;) {
      std::array<epoll_event, 16> events;
      const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), spin ? 0 : -1);
      for (int i = 0; i < n; ++i) {
        const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
        if (tag == kChildTag) return reap();
        if (tag == kTapTag) {
          read_tap();
        } else {
          from_host(flows_[tag]);
        }
      }
    }
  }

 private:
  Status watch(int fd, std::uint32_t events, std::uint64_t tag) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno(errno, "epoll_ctl");
    return {};
  }

  Result<int> reap() {
    int status = 0;
    ::waitpid(child_.pid, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  void read_tap() {
    for (;;) {
      const ssize_t n = ::read(child_.tap.get(), in_.data(), in_.size());
      if (n < 0) return;
      const auto bytes = static_cast<std::size_t>(n);
      if (bytes < kVnet + kEthernetHeader + kArpPacket) continue;
      const std::uint8_t* frame = in_.data() + kVnet;
      const std::uint16_t ethertype = load_be16(frame + 12);
      if (ethertype == kEthertypeArp) answer_arp(frame);
      if (ethertype == kEthertypeIpv4 && bytes >= kVnet + kHeaders) take_segment(frame, bytes - kVnet);
    }
  }

  void answer_arp(const std::uint8_t* request) {
    std::array<std::uint8_t, kVnet + kEthernetHeader + kArpPacket> reply{};
    std::memcpy(&reply[kVnet], request + 6, 6);
    std::memcpy(&reply[kVnet + 6], kGatewayMac.data(), 6);
    store_be16(&reply[kVnet + 12], kEthertypeArp);
    std::uint8_t* arp = &reply[kVnet + kEthernetHeader];
    const std::uint8_t* asked = request + kEthernetHeader;
    std::memcpy(arp, asked, 6);
    store_be16(arp + 6, 2);
    std::memcpy(arp + 8, kGatewayMac.data(), 6);
    std::memcpy(arp + 14, asked + 24, 4);
    std::memcpy(arp + 18, asked + 8, 10);
    put(reply.data(), reply.size());
  }

  void take_segment(const std::uint8_t* frame, std::size_t bytes) {
    const std::uint8_t* ip = frame + kEthernetHeader;
    const std::size_t total = load_be16(ip + 2);
    const std::uint8_t* tcp = ip + kIpv4Header;
    const auto header = static_cast<std::size_t>(tcp[12] >> 4) * 4;
    if (ip[0] != 0x45 || ip[9] != kProtocolTcp || kEthernetHeader + total > bytes ||
        kIpv4Header + header > total) {
      return;
    }
    Flow& flow = flows_[load_be16(tcp)];
    const std::uint8_t flags = tcp[13];
    if (flags & kTcpSyn) return open(flow, ip, tcp);
    if (!flow.socket) return;
    if (flags & kTcpRst) return flow.socket.reset();
    const std::size_t payload = total - kIpv4Header - header;
    if (load_be32(tcp + 4) != flow.next_from_guest) return;
    if (payload > 0) {
      ::send(flow.socket.get(), tcp + header, payload, MSG_NOSIGNAL);
      flow.next_from_guest += static_cast<std::uint32_t>(payload);
    }
    if (flags & kTcpFin) {
      ++flow.next_from_guest;
      flow.guest_ended = true;
      send_segment(flow, kTcpAck, 0);
      if (flow.host_ended) {
        flow.socket.reset();
      } else {
        ::shutdown(flow.socket.get(), SHUT_WR);
      }
    }
  }

  void open(Flow& flow, const std::uint8_t* ip, const std::uint8_t* tcp) {
    flow = {};
    flow.dst = load_be32(ip + 16);
    flow.guest_port = load_be16(tcp);
    flow.dst_port = load_be16(tcp + 2);
    flow.next_from_guest = load_be32(tcp + 4) + 1;
    flow.socket.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(flow.dst_port);
    peer.sin_addr.s_addr = htonl(flow.dst == kGatewayIp ? INADDR_LOOPBACK : flow.dst);
    // Blocks until connected: on the loopback device, where this runs, that is within the call.
    if (::connect(flow.socket.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0 ||
        !watch(flow.socket.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, flow.guest_port)) {
      flow.socket.reset();
      return send_segment(flow, kTcpRst | kTcpAck, 0);
    }
    send_segment(flow, kTcpSyn | kTcpAck, 0);
    ++flow.next_to_guest;
  }

  void from_host(Flow& flow) {
    while (flow.socket && !flow.host_ended) {
      const ssize_t n = ::recv(flow.socket.get(), &out_[kVnet + kHeaders], kMaxPayload, MSG_DONTWAIT);
      if (n < 0) return;
      const auto payload = static_cast<std::size_t>(n);
      flow.host_ended = n == 0;
      send_segment(flow, n == 0 ? kTcpFin | kTcpAck : kTcpPsh | kTcpAck, payload);
      flow.next_to_guest += static_cast<std::uint32_t>(payload) + (n == 0 ? 1U : 0U);
    }
    if (flow.guest_ended && flow.host_ended) flow.socket.reset();
  }

  // The payload is in out_ already.
  void send_segment(const Flow& flow, int flags, std::size_t payload) {
    constexpr std::uint8_t kNeedsChecksum = 1;
    std::memset(out_.data(), 0, kVnet + kHeaders);
    out_[0] = kNeedsChecksum;
    const std::uint16_t start = kEthernetHeader + kIpv4Header;
    const std::uint16_t offset = 16;
    std::memcpy(&out_[6], &start, 2);
    std::memcpy(&out_[8], &offset, 2);
    std::uint8_t* frame = &out_[kVnet];
    std::memcpy(frame, kGuestMac.data(), 6);
    std::memcpy(frame + 6, kGatewayMac.data(), 6);
    store_be16(frame + 12, kEthertypeIpv4);
    put_ipv4_header(frame + kEthernetHeader, kProtocolTcp, flow.dst, kGuestIp, kTcpHeader + payload);
    std::uint8_t* tcp = frame + kEthernetHeader + kIpv4Header;
    store_be16(tcp, flow.dst_port);
    store_be16(tcp + 2, flow.guest_port);
    store_be32(tcp + 4, flow.next_to_guest);
    store_be32(tcp + 8, flow.next_from_guest);
    tcp[12] = (kTcpHeader / 4) << 4;
    tcp[13] = static_cast<std::uint8_t>(flags);
    store_be16(tcp + 14, 65535);
    Checksum sum;
    sum.add_pseudo_header(flow.dst, kGuestIp, kProtocolTcp, kTcpHeader + payload);
    store_be16(tcp + 16, sum.partial());
    put(out_.data(), kVnet + kHeaders + payload);
  }

  void put(const std::uint8_t* frame, std::size_t bytes) { write_once(child_.tap.get(), frame, bytes); }

  NamespaceChild child_;
  UniqueFd epoll_;
  std::vector<Flow> flows_;  // by guest port
  std::array<std::uint8_t, kVnet + kEthernetHeader + 65536> in_;
  std::array<std::uint8_t, kVnet + kHeaders + kMaxPayload> out_;
};

}  // namespace

Result<int> run_bare_nat(const std::vector<std::string>& command, bool spin) {
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  GB_ASSIGN(auto child, start_in_namespace(command, NatConfig{}, mask));
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "epoll_create1");
  auto nat = std::make_unique<BareNat>(std::move(child), std::move(epoll));
  return nat->run(spin);
}

}  // namespace glassbox::bench
