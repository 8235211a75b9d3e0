// Theory of operation
//
// Problem: the guest's memory is hostile and may change at any time, and each frame should cost one copy of
// its payload and no allocation.
//
// A frame from the guest is read once. Its headers are copied (take_headers), then checked, then acted upon;
// its payload stays in guest memory and goes to the host socket from there. The checks are in
// net/link/ip_input.cc and net/link/transport_input.cc, the destinations that the guest may reach in
// net/policy.cc, TCP in net/tcp/tcp.cc, frames for the guest in net/link/guest_link.cc.
//
// A turn of the event loop: the port hands over the guest's frames (on_guest_frame, then on_guest_burst_end),
// host sockets report edges, timers run. At the end of the turn all flows that changed send what they have,
// and everything that was queued is published to the guest at once, with one interrupt.
//
// Every frame that is not acted upon is counted under a reason (bpf/reasons.h) and fires frame_drop.
#include "net/nat.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "bpf/probes.h"
#include "net/config/dhcp.h"
#include "net/config/dhcpv6.h"
#include "net/count.h"
#include "net/dns/dns_forwarder.h"
#include "net/icmp/icmp.h"
#include "net/icmp/icmp_error.h"
#include "net/link/arp.h"
#include "net/link/ip_input.h"
#include "net/link/transport_input.h"
#include "net/policy.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_listener.h"
#include "net/udp/udp.h"
#include "net/udp/udp_listener.h"

namespace glassbox::net {
namespace {

constexpr std::uint16_t kMinMtu = 576;
constexpr std::uint16_t kMaxMtu = 65520;
constexpr std::size_t kMaxDhcpBytes = 1500;
constexpr Ipv4 kBroadcastIp = ~Ipv4{0};

// Ethernet groups (RFC 2464, 7) that the NAT listens to: all nodes, all routers, DHCPv6 servers, and those of
// solicitations for ::2 and ::3. (The guest reports its own groups to other addresses.)
bool is_our_group(std::span<const std::uint8_t> ethernet) {
  if (load_be16(ethernet.data()) != 0x3333) return false;
  const std::uint32_t group = load_be32(&ethernet[2]);
  return group == 1 || group == 2 || group == 0x1'0002 || group == 0xff00'0002 || group == 0xff00'0003;
}

bool is_broadcast(std::span<const std::uint8_t> ethernet) {
  return std::all_of(ethernet.begin(), ethernet.begin() + 6, [](auto b) { return b == 0xff; });
}

// The arguments of process_guest_frame for the current frame. They stay in memory, where the parsers write
// them and the probe reads them, so that a probe that is off costs no register.
struct FrameFacts {
  IpPacket ip;
  TcpHeader tcp;
  std::uint64_t flow = 0;
  std::uint32_t bytes = 0;
  std::uint16_t ethertype = 0;
  std::uint16_t queue = 0;
  std::uint32_t rx_queued = 0;  // frames for the guest that wait to be published after this one was handled
};

class NatImpl final : public Nat {
 public:
  NatImpl(const NatConfig& config, EventLoop& loop, GuestPort& port)
      : loop_(loop),
        port_(port),
        link_(port, counters_, config.mtu),
        admission_(config, counters_),
        self_(std::make_shared<NatImpl*>(this)) {}

  ~NatImpl() override {
    *self_ = nullptr;
    port_.set_sink(nullptr);
  }

  Status start(const NatConfig& config) {
    GB_ASSIGN(policy_, DestinationPolicy::create(config, loop_));
    GB_ASSIGN(tcp_, Tcp::create(loop_, link_, *policy_, admission_, counters_));
    udp_ = std::make_unique<Udp>(loop_, link_, *policy_, admission_, counters_);
    dns_ = std::make_unique<DnsForwarder>(loop_, link_, *policy_, admission_, counters_);
    icmp_ = std::make_unique<Icmp>(loop_, link_, *policy_, admission_, counters_);
    for (const PublishedPort& published : config.publish) {
      if (published.udp) {
        GB_ASSIGN(auto listener, UdpListener::create(published, loop_, link_, *policy_, *udp_));
        udp_listeners_.push_back(std::move(listener));
      } else {
        GB_ASSIGN(auto listener, TcpListener::create(published, loop_, link_, *policy_, *tcp_));
        listeners_.push_back(std::move(listener));
      }
    }
    // The loop outlives the NAT and cannot remove a hook, so the hooks go through a pointer that the
    // destructor clears.
    loop_.at_turn_end([self = self_] {
      if (*self != nullptr) (*self)->end_turn();
    });
    loop_.on_deadline([self = self_] {
      if (*self != nullptr) (*self)->on_deadline();
    });
    port_.set_sink(this);
    return {};
  }

  void on_guest_frame(std::span<const iovec> frame, const VnetHeader& vnet, std::uint16_t queue) override {
    facts_.queue = queue;
    const std::size_t copied = take_headers(frame);
    probe::process_guest_frame_begin(facts_.ethertype, facts_.bytes, facts_.queue);
    const DropReason reason = take_frame(frame, vnet, copied);
    if (reason != DropReason::kNone) count_drop(counters_, reason, facts_.bytes);
    facts_.rx_queued = port_.rx_queued();
    probe::process_guest_frame(facts_.flow, facts_.tcp.seq, facts_.ethertype, facts_.ip.protocol,
                               facts_.tcp.flags, facts_.bytes, facts_.rx_queued);
  }

  void on_guest_burst_end() override { tcp_->flush(); }
  void on_rx_space() override { tcp_->on_rx_space(); }
  const NatCounters& counters() const override { return counters_; }

  void begin_drain(GuestEnd end, std::uint64_t linger_ns, Drain::Listener listener) override {
    listeners_.clear();
    tcp_->guest_has_ended(end);
    frames_at_look_ = counters_.guest_frames;
    drain_.begin(loop_.now_ns(), linger_ns, std::move(listener));
  }
  void abandon_drain() override { drain_.abandon(); }

 private:
  // Frames that the guest sent before it ended may still wait in the port, so the first look only counts.
  void look_after_drain() {
    const bool idle = drain_looks_++ != 0 && counters_.guest_frames == frames_at_look_;
    frames_at_look_ = counters_.guest_frames;
    drain_.look(loop_.now_ns(), tcp_->undelivered(), idle);
  }

  void end_turn() {
    tcp_->flush();
    if (const std::uint32_t queued = port_.rx_queued(); queued != 0) {
      probe::drain_to_guest(queued, tcp_->backlog(), loop_.ready_events());
      port_.rx_publish();
    }
    tcp_->after_publish();
    std::uint64_t deadline_ns = earlier(earlier(tcp_->next_deadline_ns(), udp_->next_deadline_ns()),
                                        earlier(dns_->next_deadline_ns(), icmp_->next_deadline_ns()));
    for (const auto& listener : listeners_)
      deadline_ns = earlier(deadline_ns, listener->next_deadline_ns());
    if (drain_.is_due(loop_.now_ns())) look_after_drain();
    loop_.set_deadline(earlier(deadline_ns, drain_.next_look_ns()));
  }

  void on_deadline() {
    tcp_->on_deadline();
    udp_->on_deadline();
    dns_->on_deadline();
    icmp_->on_deadline();
    for (const auto& listener : listeners_)
      listener->on_deadline();
  }

  // Both stay out of line, so that a probe between two calls does not force either to save a register.
  [[gnu::noinline]] std::size_t take_headers(std::span<const iovec> pieces) {
    std::size_t bytes = 0, copied = 0;
    for (const iovec& piece : pieces) {
      bytes += piece.iov_len;
      if (const std::size_t n = std::min(piece.iov_len, headers_.size() - copied); n != 0) {
        std::memcpy(headers_.data() + copied, piece.iov_base, n);
        copied += n;
      }
    }
    facts_.ethertype = copied < kEthernetHeader ? std::uint16_t{0} : load_be16(&headers_[12]);
    facts_.bytes = static_cast<std::uint32_t>(bytes);
    facts_.flow = 0;
    facts_.ip.protocol = 0;
    facts_.tcp.seq = 0;
    facts_.tcp.flags = 0;
    return copied;
  }

  [[gnu::noinline]] DropReason take_frame(std::span<const iovec> pieces, const VnetHeader& vnet,
                                          std::size_t copied) {
    const auto headers = std::span<const std::uint8_t>(headers_).first(copied);
    FrameFacts& facts = facts_;
    const std::size_t bytes = facts.bytes;
    ++counters_.guest_frames;
    if (headers.size() < kEthernetHeader) return DropReason::kShortFrame;
    if (bytes > kEthernetHeader + kMaxIpPacket) return DropReason::kTooLong;
    const bool unicast = std::equal(kGatewayMac.begin(), kGatewayMac.end(), headers.begin());
    if (!unicast && !(facts.ethertype == kEthertypeIpv6 ? is_our_group(headers) : is_broadcast(headers))) {
      return DropReason::kNotForUs;
    }
    const GuestFrame frame{pieces, headers, vnet};
    switch (facts.ethertype) {
      case kEthertypeArp:
        return take_arp(headers.subspan(kEthernetHeader));
      case kEthertypeIpv4:
        return take_ipv4(frame, bytes, unicast, facts);
      case kEthertypeIpv6:
        if (link_.mtu() < kMinIpv6Mtu) return DropReason::kUnknownEthertype;
        return take_ipv6(frame, bytes, facts);
      default:
        return DropReason::kUnknownEthertype;
    }
  }

  DropReason take_arp(std::span<const std::uint8_t> arp) {
    std::array<std::uint8_t, kEthernetHeader + kArpPacket> reply{};
    const DropReason reason = answer_arp(arp, reply);
    if (reason != DropReason::kNone) return reason;
    learn_guest_mac(arp.subspan<8, 6>());
    link_.send_frame(reply, kEthertypeArp);
    return DropReason::kNone;
  }

  void learn_guest_mac(std::span<const std::uint8_t, 6> from) {
    MacAddress mac;
    std::copy(from.begin(), from.end(), mac.begin());
    if ((mac[0] & 1) == 0) link_.set_guest_mac(mac);
  }

  DropReason take_ipv4(const GuestFrame& frame, std::size_t bytes, bool unicast, FrameFacts& facts) {
    IpPacket& packet = facts.ip;
    const DropReason reason =
        parse_ipv4(frame.headers.subspan(kEthernetHeader), bytes - kEthernetHeader, packet);
    if (reason != DropReason::kNone) return reason;
    const bool dhcp = is_dhcp(frame, packet);
    if (!unicast && !dhcp) return DropReason::kNotForUs;
    if (packet.source.v4() != kGuestIp && !(dhcp && packet.source.v4() == 0)) return DropReason::kBadSource;
    learn_guest_mac(frame.headers.subspan<6, 6>());
    if (dhcp) return take_dhcp(frame, packet);
    if (packet.protocol == kProtocolIcmp) return take_icmp(frame, packet);
    return take_transport(frame, packet, facts);
  }

  DropReason take_ipv6(const GuestFrame& frame, std::size_t bytes, FrameFacts& facts) {
    IpPacket& packet = facts.ip;
    const DropReason reason =
        parse_ipv6(frame.headers.subspan(kEthernetHeader), bytes - kEthernetHeader, packet);
    if (reason != DropReason::kNone) return reason;
    const bool icmp = packet.protocol == kProtocolIcmpv6;
    const bool guest = is_guest_network6(packet.source);
    // The guest may use any address of the network. Before it has one it sends from the unspecified address.
    const bool may_send = guest || is_link_local6(packet.source) || (icmp && packet.source == kUnspecified6);
    if (!may_send || is_ours(packet.source)) return DropReason::kBadSource;
    learn_guest_mac(frame.headers.subspan<6, 6>());
    if (guest) link_.set_guest_ip6(packet.source);
    if (icmp) return take_icmp(frame, packet);
    if (!is_multicast6(packet.destination)) return take_transport(frame, packet, facts);
    if (packet.destination != kDhcp6Servers || packet.protocol != kProtocolUdp) return DropReason::kNotForUs;
    return take_dhcp6(frame, packet);
  }

  // The protocols that are the same over both families.
  DropReason take_transport(const GuestFrame& frame, const IpPacket& packet, FrameFacts& facts) {
    switch (packet.protocol) {
      case kProtocolTcp:
        return take_tcp(frame, packet, facts);
      case kProtocolUdp:
        return take_udp(frame, packet);
      default:
        return DropReason::kUnknownProtocol;
    }
  }

  DropReason take_tcp(const GuestFrame& frame, const IpPacket& packet, FrameFacts& facts) {
    const DropReason reason = read_tcp(frame, packet, facts.tcp, payload_);
    if (packet.hops <= 1 && reason == DropReason::kNone && !is_ours(packet.destination)) {
      const auto transport = frame.transport(packet);
      send_icmp_error(link_, make_icmp_error(IcmpErrorKind::kTimeExceeded, !packet.source.is_v4()),
                      {kProtocolTcp, facts.tcp.key, transport, packet.total_bytes - packet.header_bytes});
      return DropReason::kHopsEnded;
    }
    if (reason == DropReason::kNone) facts.flow = tcp_->on_segment(facts.tcp, payload_);
    return reason;
  }

  DropReason take_udp(const GuestFrame& frame, const IpPacket& packet) {
    FlowKey key;
    const DropReason reason = read_udp(frame, packet, key, payload_);
    if (reason != DropReason::kNone) return reason;
    if (key.dst_port == kDnsPort && policy_->check(key.dst, key.dst_port).dns) {
      return dns_->on_datagram(key, payload_);
    }
    return udp_->on_datagram(key, packet.hops, payload_);
  }

  // A client that asks for an address has none to send from yet, and does not know the server's.
  static bool is_dhcp(const GuestFrame& frame, const IpPacket& packet) {
    const auto udp = frame.transport(packet);
    const Ipv4 destination = packet.destination.v4();
    return packet.protocol == kProtocolUdp && udp.size() >= kUdpHeader &&
           load_be16(&udp[2]) == kDhcpServerPort &&
           (destination == kBroadcastIp || destination == kGatewayIp);
  }

  DropReason take_dhcp(const GuestFrame& frame, const IpPacket& packet) {
    FlowKey key;
    const DropReason reason = read_udp(frame, packet, key, payload_);
    if (reason != DropReason::kNone) return reason;
    std::array<std::uint8_t, kMaxDhcpBytes> copy;
    const std::size_t bytes = iov_gather(payload_.span(), copy.data(), copy.size());
    if (bytes != payload_.bytes()) return DropReason::kBadDhcp;
    DhcpReply reply;
    switch (answer_dhcp(std::span<const std::uint8_t>(copy).first(bytes), link_.mtu(), reply)) {
      case DhcpOutcome::kMalformed:
        return DropReason::kBadDhcp;
      case DhcpOutcome::kReply:
        link_.send_udp(IpAddress::from_v4(kGatewayIp), kDhcpServerPort, IpAddress::from_v4(reply.destination),
                       kDhcpClientPort, reply.message);
        break;
      case DhcpOutcome::kNoReply:
        break;
    }
    return DropReason::kNone;
  }

  DropReason take_dhcp6(const GuestFrame& frame, const IpPacket& packet) {
    FlowKey key;
    const DropReason reason = read_udp(frame, packet, key, payload_);
    if (reason != DropReason::kNone) return reason;
    if (key.dst_port != kDhcp6ServerPort) return DropReason::kUdpNotServed;
    std::array<std::uint8_t, kMaxDhcpBytes> copy;
    const std::size_t bytes = iov_gather(payload_.span(), copy.data(), copy.size());
    Dhcp6Reply reply;
    const auto outcome = bytes == payload_.bytes() ? answer_dhcp6(std::span(copy).first(bytes), reply)
                                                   : DhcpOutcome::kMalformed;
    if (outcome == DhcpOutcome::kMalformed) return DropReason::kBadDhcp;
    if (outcome == DhcpOutcome::kReply) {
      link_.send_udp(kGatewayLinkLocal, kDhcp6ServerPort, packet.source, key.guest_port,
                     std::span(reply.message).first(reply.bytes));
    }
    return DropReason::kNone;
  }

  DropReason take_icmp(const GuestFrame& frame, const IpPacket& packet) {
    const std::size_t bytes = packet.total_bytes - packet.header_bytes;
    payload_.assign(frame.pieces, kEthernetHeader + packet.header_bytes, bytes);
    if (payload_.bytes() != bytes) return DropReason::kTooLong;
    return icmp_->on_message(packet, payload_);
  }

  EventLoop& loop_;
  GuestPort& port_;
  NatCounters counters_;
  GuestLink link_;
  Admission admission_;
  std::shared_ptr<NatImpl*> self_;
  std::unique_ptr<DestinationPolicy> policy_;
  std::unique_ptr<Tcp> tcp_;
  std::unique_ptr<Udp> udp_;
  std::unique_ptr<DnsForwarder> dns_;
  std::unique_ptr<Icmp> icmp_;
  std::vector<std::unique_ptr<TcpListener>> listeners_;
  std::vector<std::unique_ptr<UdpListener>> udp_listeners_;
  Drain drain_;
  std::uint32_t drain_looks_ = 0;
  std::uint64_t frames_at_look_ = 0;                 // counters_.guest_frames at the drain's last look
  std::array<std::uint8_t, kMaxHeaders> headers_{};  // private copy of the current frame's beginning
  FrameFacts facts_;                                 // of the current frame
  IovSlice payload_;
};

}  // namespace

Result<std::unique_ptr<Nat>> Nat::create(const NatConfig& config, EventLoop& loop, GuestPort& port) {
  if (config.mtu < kMinMtu || config.mtu > kMaxMtu) {
    return fail("the MTU must be between {} and {}, not {}", kMinMtu, kMaxMtu, config.mtu);
  }
  auto nat = std::make_unique<NatImpl>(config, loop, port);
  GB_TRY(nat->start(config));
  return nat;
}

}  // namespace glassbox::net
