#include "tools/trace/path/flows.h"

#include <linux/if_ether.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>
#include <type_traits>

#include "bpf/event_args.h"

namespace glassbox::trace {
namespace {

using Refs = std::vector<EventRef>;  // by time

struct HostIndex {
  std::unordered_map<std::uint64_t, Refs> by_flow;
  std::unordered_map<std::uint32_t, Refs> frames_by_tid;     // process_guest_frame_begin, process_guest_frame
  std::unordered_map<std::uint32_t, Refs> irqs_by_tid;       // irq_raise of receive queues, net_poll_wait
  std::unordered_map<std::uint32_t, Refs> connects_by_tid;   // host_sock_state into SYN_SENT
  std::unordered_map<std::uint64_t, Refs> states_by_socket;  // host_sock_state by skaddr
  std::unordered_map<std::uint64_t, Refs> inbound_by_peer_port;  // host_inbound
  std::unordered_map<std::uint64_t, Refs> server_by_nat_port;    // server-side events: version, peer's port
  SocketVersions versions;

  explicit HostIndex(const Trace& trace) {
    for (const gb_event& e : trace.host.events)
      add(e);
  }

  void add(const gb_event& e) {
    if (const std::uint64_t flow = flow_of(e)) by_flow[flow].push_back(&e);
    versions.note(e);
    switch (e.kind) {
      case GB_KIND_process_guest_frame_begin:
      case GB_KIND_process_guest_frame:
        frames_by_tid[e.tid].push_back(&e);
        break;
      case GB_KIND_irq_raise:
        // Receive queues have even numbers (virtio 1.2, 5.1.2); the odd ones are transmit queues.
        if (args::irq_raise(e).queue % 2 == 0) irqs_by_tid[e.tid].push_back(&e);
        break;
      case GB_KIND_net_poll_wait:
        irqs_by_tid[e.tid].push_back(&e);
        break;
      case GB_KIND_host_sock_state:
        states_by_socket[skaddr_of(e)].push_back(&e);
        if (args::host_sock_state(e).new_state == TCP_SYN_SENT) connects_by_tid[e.tid].push_back(&e);
        break;
      case GB_KIND_host_inbound:
        inbound_by_peer_port[ports_of(e).peer].push_back(&e);
        break;
      case GB_KIND_host_accept:
      case GB_KIND_host_server_read_enter:
      case GB_KIND_host_server_read:
      case GB_KIND_host_server_write_enter:
      case GB_KIND_host_server_write:
      case GB_KIND_host_server_shutdown:
        server_by_nat_port[flow_key(versions.ipv6(skaddr_of(e)), 0, ports_of(e).peer)].push_back(&e);
        break;
      default:
        break;
    }
  }
};

template <typename Key>
std::span<const EventRef> refs(const std::unordered_map<Key, Refs>& map, std::type_identity_t<Key> key) {
  const auto it = map.find(key);
  return it == map.end() ? std::span<const EventRef>{} : std::span<const EventRef>(it->second);
}

// The first event at or after t.
std::span<const EventRef> from_time(std::span<const EventRef> list, std::uint64_t t) {
  const auto it = std::lower_bound(list.begin(), list.end(), t,
                                   [](EventRef e, std::uint64_t at) { return e->ts_ns < at; });
  return list.subspan(static_cast<std::size_t>(it - list.begin()));
}

// The frame that the thread was processing at the time of e; null if there was none, or if its begin was
// lost.
EventRef frame_in_hand(const HostIndex& index, EventRef e) {
  if (e == nullptr) return nullptr;
  const auto list = refs(index.frames_by_tid, e->tid);
  const auto after = std::lower_bound(list.begin(), list.end(), e->ts_ns,
                                      [](EventRef f, std::uint64_t t) { return f->ts_ns < t; });
  if (after == list.begin()) return nullptr;
  const EventRef before = *(after - 1);
  return before->kind == GB_KIND_process_guest_frame_begin ? before : nullptr;
}

// The interrupt for a published frame: on the same thread, before it sleeps. Queueing the frame, or receiving
// its payload, happens in the same turn of the loop as publishing it, so either event leads to the interrupt.
EventRef irq_after(const HostIndex& index, EventRef inject, EventRef queued) {
  const EventRef from = inject ? inject : queued;
  if (from == nullptr) return nullptr;
  const auto later = from_time(refs(index.irqs_by_tid, from->tid), from->ts_ns);
  return !later.empty() && later.front()->kind == GB_KIND_irq_raise ? later.front() : nullptr;
}

bool is_loopback(std::uint64_t hi, std::uint64_t lo) {
  return hi == 0 && (lo == 1 || lo >> 24 == 0xffff7f);  // ::1, ::ffff:127.0.0.0/104
}

// True for a flow that the peer opened: the NAT sends the SYN and the guest the SYN-ACK, and either event
// shows it.
bool is_inbound(std::span<const EventRef> events) {
  return std::any_of(events.begin(), events.end(), [](EventRef e) {
    const std::uint64_t handshake = frame_of(*e).tcp_flags & (TH_SYN | TH_ACK);
    if (e->kind == GB_KIND_rx_inject) return handshake == TH_SYN;
    return e->kind == GB_KIND_process_guest_frame && handshake == (TH_SYN | TH_ACK);
  });
}

// Finds the handshake and the frames with payload among the flow's own events.
void fill_net_side(const HostIndex& index, std::span<const EventRef> events, HostFlow& f) {
  EventRef syn_end = nullptr, data_end = nullptr, fin_end = nullptr;
  // On an inbound flow, data that the guest sends before a request arrives is not a reply.
  bool received =
      std::none_of(events.begin(), events.end(), [](EventRef e) { return e->kind == GB_KIND_host_recv; });
  for (const EventRef e : events) {
    const auto set = [e](EventRef& slot) {
      if (slot == nullptr) slot = e;
    };
    switch (e->kind) {
      case GB_KIND_process_guest_frame: {
        const FrameArgs frame = frame_of(*e);
        f.ipv6 |= args::process_guest_frame(*e).ethertype == ETH_P_IPV6;
        if (frame.tcp_flags & TH_SYN)
          set(syn_end);
        else if (looks_like_payload(frame))
          set(data_end);
        if (frame.tcp_flags & TH_FIN) set(fin_end);
        break;
      }
      case GB_KIND_tcp_syn:
        set(f.syn);
        break;
      case GB_KIND_tcp_connect_begin:
        set(f.connect_begin);
        break;
      case GB_KIND_tcp_connect_done:
        set(f.connect_done);
        break;
      case GB_KIND_syn_ack_queued:
        set(f.syn_ack_queued);
        break;
      case GB_KIND_host_send:
        if (args::host_send(*e).bytes == 0)
          set(f.fin_sent);
        else if (args::host_send(*e).result > 0 && (!f.inbound || received))
          set(f.request_sent);
        break;
      case GB_KIND_host_recv: {
        const std::int64_t result = args::host_recv(*e).result;
        received |= result > 0;
        if (result > 0)
          (f.reply_recv ? f.rest_recv : f.reply_recv) = e;
        else if (result == 0)
          set(f.eof_recv);
        break;
      }
      case GB_KIND_host_flow_span: {
        const auto& span = args::host_flow_span(*e);
        f.begin_ns = span.begin_ns;
        f.reply_ns = span.reply_ns;
        f.guest_port = static_cast<std::uint16_t>(span.guest_port);
        f.dst_port = static_cast<std::uint16_t>(span.dst_port);
        break;
      }
      case GB_KIND_rx_inject: {
        const FrameArgs frame = frame_of(*e);
        const auto starts_with = [&frame](EventRef recv) { return frame.seq == args::host_recv(*recv).seq; };
        const bool reset = (frame.tcp_flags & TH_RST) != 0;
        if (frame.tcp_flags & TH_SYN) {
          set(f.syn_ack_inject);
          break;
        }
        if (frame.tcp_flags & TH_FIN) set(f.eof_inject);
        // Pure ACKs with the reply's sequence number precede it. If the event of the reply's receipt was
        // lost, only PSH or the length distinguishes them.
        const bool payload = f.reply_recv ? starts_with(f.reply_recv) : looks_like_payload(frame);
        if (payload && !reset) set(f.reply_inject);
        if (f.rest_recv && starts_with(f.rest_recv) && !reset) f.rest_inject = e;
        break;
      }
      default:
        break;
    }
  }
  if (f.rest_inject && f.rest_inject->ts_ns < f.rest_recv->ts_ns)
    f.rest_inject = nullptr;  // it belongs to another part
  f.syn_frame = frame_in_hand(index, f.syn && !f.inbound ? f.syn : syn_end);
  f.request_frame = frame_in_hand(index, f.request_sent);
  if (!f.request_frame) f.request_frame = frame_in_hand(index, data_end);
  f.request_frame_end = data_end;
  f.fin_frame = frame_in_hand(index, f.fin_sent);
  if (!f.fin_frame) f.fin_frame = frame_in_hand(index, fin_end);
  f.syn_ack_irq = irq_after(index, f.syn_ack_inject, f.syn_ack_queued);
  f.reply_irq = irq_after(index, f.reply_inject, f.reply_recv);
  f.eof_irq = irq_after(index, f.eof_inject, f.eof_recv);
}

// The key in server_by_nat_port of the NAT's own port towards the server: its socket entered SYN_SENT inside
// connect(), on the same thread.
std::optional<std::uint64_t> nat_port(const HostIndex& index, HostFlow& f) {
  const EventRef anchor = f.connect_begin ? f.connect_begin : f.syn;
  if (anchor == nullptr) return {};
  const auto sockets = from_time(refs(index.connects_by_tid, anchor->tid), anchor->ts_ns);
  if (sockets.empty()) return {};
  if (f.connect_done && sockets.front()->ts_ns > f.connect_done->ts_ns) return {};
  for (const EventRef e :
       from_time(refs(index.states_by_socket, skaddr_of(*sockets.front())), sockets.front()->ts_ns)) {
    const auto& state = args::host_sock_state(*e);
    f.remote_server = !is_loopback(state.peer_hi, state.peer_lo);
    f.nat_skaddr = state.skaddr;
    f.over_wire = f.remote_server && (state.peer_hi != state.local_hi || state.peer_lo != state.local_lo);
    if (state.local_port != 0) return flow_key(is_ipv6(state.peer_hi, state.peer_lo), 0, state.local_port);
  }
  return {};
}

// The NAT's accept() of this flow is the last one of that peer's port before the flow.
void fill_inbound(const HostIndex& index, HostFlow& f) {
  const auto accepts = refs(index.inbound_by_peer_port, f.dst_port);
  const auto later = from_time(accepts, static_cast<std::uint64_t>(f.first_ns) + 1);
  if (later.size() == accepts.size()) return;
  f.host_inbound = accepts[accepts.size() - later.size() - 1];
  if (f.begin_ns == 0) f.begin_ns = args::host_inbound(*f.host_inbound).established_ns;
  f.first_ns = static_cast<std::int64_t>(f.host_inbound->ts_ns);
}

void fill_server_side(const HostIndex& index, HostFlow& f) {
  const auto port = nat_port(index, f);
  if (!port) return;
  const auto begin = static_cast<std::uint64_t>(f.first_ns);
  EventRef last_enter = nullptr;
  for (const EventRef e : from_time(refs(index.server_by_nat_port, *port), begin)) {
    const auto set = [e](EventRef& slot) {
      if (slot == nullptr) slot = e;
    };
    if (e->kind == GB_KIND_host_accept && f.accept && skaddr_of(*e) != skaddr_of(*f.accept))
      break;  // the port was reused
    switch (e->kind) {
      case GB_KIND_host_accept:
        set(f.accept);
        break;
      case GB_KIND_host_server_read_enter:
        last_enter = e;
        break;
      case GB_KIND_host_server_read:
        if (args::host_server_read(*e).result > 0 && !f.read) {
          f.read = e;
          f.read_enter = last_enter;
        } else if (args::host_server_read(*e).result == 0 && !f.server_close) {
          set(f.server_eof);
        }
        break;
      case GB_KIND_host_server_write_enter:
        set(f.write_enter);
        break;
      case GB_KIND_host_server_shutdown:
        set(f.server_close);
        break;
      default:
        break;
    }
    if (f.server_close) break;
  }
  if (f.read == nullptr && last_enter) f.read_enter = last_enter;
  f.remote_server &= !f.accept && !f.read && !f.write_enter && !f.server_close;
}

}  // namespace

HostFlows::HostFlows(const Trace& trace) {
  const HostIndex index(trace);
  flows_.reserve(index.by_flow.size());
  for (const auto& [number, events] : index.by_flow) {
    HostFlow f;
    f.flow = number;
    f.first_ns = static_cast<std::int64_t>(events.front()->ts_ns);
    f.last_ns = static_cast<std::int64_t>(events.back()->ts_ns);
    f.inbound = is_inbound(events);
    fill_net_side(index, events, f);
    if (f.syn_frame && !f.inbound)
      f.first_ns = std::min(f.first_ns, static_cast<std::int64_t>(f.syn_frame->ts_ns));
    if (!f.inbound) fill_server_side(index, f);
    if (f.syn) {
      const auto& syn = args::tcp_syn(*f.syn);
      f.guest_port = static_cast<std::uint16_t>(syn.guest_port);
      f.dst_port = static_cast<std::uint16_t>(syn.dst_port);
      f.ipv6 = syn.family == AF_INET6;
    } else if (f.syn_ack_queued) {
      const auto& queued = args::syn_ack_queued(*f.syn_ack_queued);
      f.guest_port = static_cast<std::uint16_t>(queued.guest_port);
      f.dst_port = static_cast<std::uint16_t>(queued.dst_port);
    } else if (f.guest_port == 0) {
      continue;  // it began before the trace
    }
    if (f.inbound) fill_inbound(index, f);
    flows_.push_back(f);
  }
  std::sort(flows_.begin(), flows_.end(), [](const HostFlow& a, const HostFlow& b) {
    return a.first_ns != b.first_ns ? a.first_ns < b.first_ns : a.flow < b.flow;
  });
  for (std::size_t k = 0; k < flows_.size(); ++k)
    by_ports_[flow_key(flows_[k].ipv6, flows_[k].guest_port, flows_[k].dst_port)].push_back(k);
}

const HostFlow* HostFlows::find(const FlowPorts& ports, std::int64_t from_ns, std::int64_t to_ns) const {
  const auto list = by_ports_.find(flow_key(ports));
  if (list == by_ports_.end()) return nullptr;
  const auto first =
      std::lower_bound(list->second.begin(), list->second.end(), from_ns,
                       [this](std::size_t k, std::int64_t t) { return flows_[k].first_ns < t; });
  return first != list->second.end() && flows_[*first].first_ns <= to_ns ? &flows_[*first] : nullptr;
}

}  // namespace glassbox::trace
