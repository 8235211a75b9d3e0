#include "net/icmp/echo.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "net/count.h"
#include "net/host/hops.h"
#include "net/host/host_error.h"
#include "net/host/host_refusal.h"
#include "net/host/socket_address.h"
#include "net/link/checksum.h"
#include "vmm/base/clock.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kIdleEchoNs = 60 * kNsPerSecond;
constexpr std::uint64_t kSweepNs = 5 * kNsPerSecond;
constexpr int kMessagesPerEvent = 64;
constexpr std::uint8_t kIcmpReply = 0;
constexpr std::uint8_t kIcmpRequest = 8;
constexpr std::uint8_t kIcmp6Request = 128;
constexpr std::uint8_t kIcmp6Reply = 129;

std::uint8_t protocol_of(const FlowKey& key) {
  return key.dst.is_v4() ? kProtocolIcmp : kProtocolIcmpv6;
}

// The checksum follows a change of one 16-bit word (RFC 1624, equation 3).
void replace_id(std::span<std::uint8_t> message, std::uint16_t id) {
  std::uint32_t sum = std::uint32_t{static_cast<std::uint16_t>(~load_be16(&message[2]))} +
                      static_cast<std::uint16_t>(~load_be16(&message[4])) + id;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&message[2], static_cast<std::uint16_t>(~sum));
  store_be16(&message[4], id);
}

}  // namespace

Echo::Echo(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
           NatCounters& counters)
    : loop_(loop), link_(link), policy_(policy), admission_(admission), counters_(counters) {
  // A random start, so that the identifiers probably differ from those of other programs. If they do not, a
  // request may get two replies.
  (void)!::getrandom(&first_id_, sizeof(first_id_), 0);
}

Echo::~Echo() {
  table_.for_each([this](Flow& flow) { close(flow); });
}

void Echo::on_request(const IpAddress& guest, const IpAddress& destination, std::uint8_t hops,
                      std::span<std::uint8_t> message) {
  const FlowKey key{guest, destination, load_be16(&message[4]), 0};
  Flow* flow = table_.find(key);
  if (flow == nullptr) flow = open(key, message);
  if (flow == nullptr) return;
  flow->active_ns = loop_.now_ns();
  if (flow->hops != hops) {
    flow->hops = hops;
    set_hops(flow->fd, !key.dst.is_v4(), hops);
  }
  if (flow->raw) replace_id(message, flow->host_id);
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (::send(flow->fd, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return;
    if (errno == EAGAIN || errno == ENOBUFS) {
      return count_drop(counters_, DropReason::kNoBuffer, message.size());
    }
    // Either this is the answer to an earlier request, which is in the error queue and which the call has
    // cleared, or the host cannot send at all. A second attempt tells them apart.
    if (attempt == 0) pass_errors(*flow);
  }
  const RefuseReason reason = refuse_reason_of(errno);
  if (flow->raw) replace_id(message, key.guest_port);
  refuse(key, reason, message);
}

Echo::Flow* Echo::open(const FlowKey& key, std::span<const std::uint8_t> message) {
  const bool v6 = !key.dst.is_v4();
  const auto ruling = policy_.check(key.dst, 0);
  Flow* const flow = table_.vacant();
  RefuseReason reason = ruling.refuse;
  if (reason == RefuseReason::kNone) {
    reason = flow == nullptr ? RefuseReason::kTableFull : admission_.admit(loop_.now_ns());
  }
  if (reason != RefuseReason::kNone) {
    refuse(key, reason, message);
    return nullptr;
  }
  EchoSocket echo = open_echo_socket(v6);
  if (echo.way == EchoWay::kNone) {
    const bool closed = echo.error == EACCES || echo.error == EPERM;
    refuse(key, closed ? RefuseReason::kEchoClosed : refuse_reason_of(echo.error), message);
    return nullptr;
  }
  const IpAddress& destination = ruling.connect_to;
  const SocketAddress to(destination, 0);
  if (::connect(echo.fd.get(), to.get(), to.length()) != 0) {
    refuse(key, refuse_reason_of(errno), message);
    return nullptr;
  }
  if (!loop_.add(echo.fd.get(), EPOLLIN | EPOLLET, flow)) {
    refuse(key, RefuseReason::kHostResources, message);
    return nullptr;
  }
  if (table_.size() == 0) next_sweep_ns_ = loop_.now_ns() + kSweepNs;
  table_.insert(*flow, key);
  flow->echo = this;
  flow->fd = echo.fd.release();
  flow->raw = echo.way == EchoWay::kRaw;
  flow->host_id = static_cast<std::uint16_t>(first_id_ + flow->index);
  flow->host_destination = destination;
  flow->hops = 0;
  ++counters_.echo_flows_opened;
  ++counters_.echo_flows_open;
  return flow;
}

void Echo::close(Flow& flow) {
  loop_.remove_closing(flow.fd);
  ::close(flow.fd);
  flow.fd = -1;
  table_.erase(flow);
  --counters_.echo_flows_open;
}

void Echo::on_deadline() {
  if (table_.size() == 0 || loop_.now_ns() < next_sweep_ns_) return;
  table_.for_each([this](Flow& flow) {
    if (loop_.now_ns() - flow.active_ns >= kIdleEchoNs) close(flow);
  });
  next_sweep_ns_ = loop_.now_ns() + kSweepNs;
}

void Echo::on_host_event(Flow& flow, std::uint32_t events) {
  if (events & EPOLLERR) pass_errors(flow);
  for (int i = 0; i < kMessagesPerEvent; ++i) {
    if (!receive(flow)) return;
  }
  // The rest can wait for the next turn. A socket that cannot be watched any more is of no use.
  if (!loop_.rearm(flow.fd, EPOLLIN | EPOLLET, &flow)) close(flow);
}

// Passes one reply to the guest; false if there is none.
bool Echo::receive(Flow& flow) {
  const bool v6 = !flow.key.dst.is_v4();
  const ssize_t got =
      ::recv(flow.fd, room_.data() + kIcmpFront, room_.size() - kIcmpFront, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0) return errno != EAGAIN;  // pass_errors() has read the error from the queue
  std::size_t front = kIcmpFront;
  auto bytes = static_cast<std::size_t>(got);
  if (bytes > room_.size() - kIcmpFront) return true;
  if (flow.raw && !v6) {  // the kernel passes the IP header, which it has checked
    const std::size_t header = std::size_t{room_[front] & 0x0fU} * 4;
    if (header > bytes) return true;
    front += header;
    bytes -= header;
  }
  const auto message = std::span(room_).subspan(front, bytes);
  if (bytes < kIcmpHeader || message[0] != (v6 ? kIcmp6Reply : kIcmpReply) || message[1] != 0) return true;
  if (flow.raw && load_be16(&message[4]) != flow.host_id) return true;
  flow.active_ns = loop_.now_ns();
  if (bytes + ip_header_bytes(flow.key.guest) > link_.mtu()) {
    count_drop(counters_, DropReason::kTooLong, bytes);
    return true;
  }
  store_be16(&message[4], flow.key.guest_port);
  send_icmp(link_, std::span(room_).subspan(front - kIcmpFront, kIcmpFront + bytes), flow.key.dst,
            flow.key.guest);
  return true;
}

// Passes on the errors that routers and the destination sent about the guest's requests. They quote the
// identifier that the request had outside, so it is replaced by the guest's.
void Echo::pass_errors(Flow& flow) {
  std::array<std::uint8_t, kIcmpErrorQuote> quotation;
  HostError error;
  while (take_host_error(flow.fd, quotation, error)) {
    const auto request = std::span(quotation).first(error.quoted);
    if (request.size() < kIcmpHeader) continue;
    if (request[0] != (flow.key.dst.is_v4() ? kIcmpRequest : kIcmp6Request)) continue;
    if (flow.raw && load_be16(&request[4]) != flow.host_id) continue;
    IcmpError told;
    if (!translate(error, policy_, flow.host_destination, flow.key, told)) continue;
    replace_id(request, flow.key.guest_port);
    ++counters_.icmp_errors_passed;
    send_icmp_error(link_, told, {protocol_of(flow.key), flow.key, request, request.size()});
  }
}

void Echo::refuse(const FlowKey& key, RefuseReason reason, std::span<const std::uint8_t> message) {
  count_refusal(counters_, reason);
  const bool v6 = !key.dst.is_v4();
  send_icmp_error(link_, make_icmp_error(icmp_kind_of(reason), v6),
                  {protocol_of(key), key, message, message.size()});
}

}  // namespace glassbox::net
