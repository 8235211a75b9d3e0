#include "tools/trace/path/chain.h"

#include <netinet/tcp.h>

#include <algorithm>

#include "tools/trace/path/chain_builder.h"

namespace glassbox::trace {
namespace {

using FrameClass = GuestFrames::FrameClass;

bool is(FrameClass what, const gb_event& e) {
  const FrameArgs frame = frame_of(e);
  const std::uint64_t flags = frame.tcp_flags;
  const bool payload = frame.payload > 0;
  switch (what) {
    case FrameClass::kSyn:
      return (flags & TH_SYN) != 0;
    case FrameClass::kSynOnly:
      return (flags & (TH_SYN | TH_ACK)) == TH_SYN;
    case FrameClass::kSynAck:
      return (flags & (TH_SYN | TH_ACK)) == (TH_SYN | TH_ACK);
    case FrameClass::kFin:
      return (flags & TH_FIN) != 0;
    case FrameClass::kPayload:
      return payload;
    case FrameClass::kPayloadNoSyn:
      return payload && (flags & TH_SYN) == 0;
    case FrameClass::kCount:
      break;
  }
  return false;
}

class OutboundChainBuilder : public ChainBuilder {
 public:
  using ChainBuilder::ChainBuilder;

  void handshake_on_host(const HostFlow& f) {
    add_bound(Slot::syn_frame, Lane::kNet, f.syn_frame, f.begin_ns);
    add(Slot::syn_flow, Lane::kNet, f.syn);
    add(Slot::host_connect_begin, Lane::kNet, f.connect_begin);
    add(Slot::host_connect_done, Lane::kNet, f.connect_done);
    add(Slot::syn_ack_queued, Lane::kNet, f.syn_ack_queued);
    add(Slot::syn_ack_inject, Lane::kNet, f.syn_ack_inject);
    add_irq(Slot::syn_ack_irq, Lane::kNet, f.syn_ack_irq);
  }

  void exchange_on_host(const HostFlow& f) {
    add(Slot::request_frame, Lane::kNet, f.request_frame);
    if (f.remote_server) {
      add(Slot::request_sent, Lane::kNet, f.request_sent);
    } else {
      // The probe fires after the system call, so the server may have continued before it.
      add_optional(Slot::request_sent, Lane::kNet, f.request_sent);
      add_evidence(Slot::request_sent, Lane::kNet, f.request_frame_end);
      add_optional(Slot::server_accept, Lane::kServer, f.accept);
      add_optional(Slot::server_read_enter, Lane::kServer, f.read_enter);
      add(Slot::server_read, Lane::kServer, f.read);
      add(Slot::server_write_enter, Lane::kServer, f.write_enter);
    }
    add(Slot::reply_recv, Lane::kNet, f.reply_recv);
    add_bound(Slot::reply_inject, Lane::kNet, f.reply_inject, f.reply_ns);
    add_irq(Slot::reply_irq, Lane::kNet, f.reply_irq);
  }

  // Adds nothing if the reply came in one part.
  void rest_on_host(const HostFlow& f) {
    if (f.rest_recv == nullptr) return;
    add_optional(Slot::rest_recv, Lane::kRest, f.rest_recv);
    add_optional(Slot::rest_inject, Lane::kRest, f.rest_inject);
  }

  // The causes of the end of file: the server's close and, if the server waited for it, the client's
  // half-close.
  void end_of_file(const HostFlow& f, const GuestConnection& c, EventRef fin_xmit, EventRef fin_receive) {
    if (!f.remote_server) {
      if (f.server_eof) {
        add_optional(Slot::half_close, Lane::kEof, c.half_close);
        add_optional(Slot::fin_xmit, Lane::kEof, fin_xmit);
        add_optional(Slot::fin_frame, Lane::kEof, f.fin_frame);
        add_optional(Slot::fin_sent, Lane::kEof, f.fin_sent);
        add_optional(Slot::server_eof, Lane::kEof, f.server_eof);
      } else if (!context().seen[GB_KIND_host_server_read]) {
        add_optional(Slot::server_eof, Lane::kEof, nullptr);  // it is not known whether the server waited
      }
      add_optional(Slot::server_close, Lane::kEof, f.server_close);
    }
    add_optional(Slot::eof_recv, Lane::kEof, f.eof_recv);
    add_optional(Slot::eof_inject, Lane::kEof, f.eof_inject);
    add_irq(Slot::eof_irq, Lane::kEof, f.eof_irq);
    add_guest_irq(Slot::eof_guest_irq, Lane::kEof, f.eof_recv, f.eof_inject, f.eof_irq, fin_receive);
    add_optional(Slot::eof_receive, Lane::kEof, fin_receive);
  }

  // clone_begin and fork alternate. If one of a pair was lost, its node is kept, unseen.
  void forks(const GuestCycle& cycle) {
    bool in_clone = cycle.begin.event == nullptr;
    if (in_clone) add_bound(Slot::clone_begin, Lane::kGuest, nullptr, cycle.begin.ns);
    for (const EventRef e : cycle.forks) {
      const bool clone = e->kind == GB_KIND_guest_clone_begin;
      if (clone && in_clone) add(Slot::fork, Lane::kGuest, nullptr);
      if (!clone && !in_clone) add(Slot::clone_begin, Lane::kGuest, nullptr);
      add(clone ? Slot::clone_begin : Slot::fork, Lane::kGuest, e);
      in_clone = clone;
    }
    if (in_clone) add(Slot::fork, Lane::kGuest, nullptr);
    if (!cycle.execs) return;
    add(Slot::exec_begin, Lane::kGuest, cycle.exec_begin);
    add(Slot::exec_done, Lane::kGuest, cycle.exec_done);
  }

  void ending(const GuestCycle& cycle) {
    const GuestConnection& c = cycle.connection;
    const bool fork = cycle.kind == CycleKind::kFork;
    // If the client did not close the socket itself, the kernel does so in exit, after the event of the exit.
    const EventRef closed = c.close_done ? c.close_done : c.close;
    const bool closes_first = fork && cycle.exit && closed && closed->ts_ns < cycle.exit->ts_ns;
    if (fork && !closes_first) add(Slot::exit, Lane::kGuest, cycle.exit);
    add(Slot::close, Lane::kGuest, c.close);
    add_bound(Slot::close_done, Lane::kGuest, c.close_done, c.close_done_ns);
    if (closes_first) add(Slot::exit, Lane::kGuest, cycle.exit);
    if (!fork) return;
    add_bound(Slot::reap, Lane::kGuest, cycle.client_reap.event, cycle.client_reap.ns);
    if (cycle.last_reap.ns > cycle.client_reap.ns)
      add_bound(Slot::reap, Lane::kGuest, cycle.last_reap.event, cycle.last_reap.ns);
  }
};

}  // namespace

void GuestFrames::List::add(EventRef frame) {
  for (std::size_t k = 0; k < by_what_.size(); ++k)
    if (is(static_cast<FrameClass>(k), *frame)) by_what_.at(k).push_back(frame);
}

EventRef GuestFrames::List::first(FrameClass what, std::uint64_t from_ns, std::uint64_t to_ns) const {
  const auto& list = by_what_.at(static_cast<std::size_t>(what));
  const auto it = std::lower_bound(list.begin(), list.end(), from_ns,
                                   [](EventRef e, std::uint64_t t) { return e->ts_ns < t; });
  return it != list.end() && (*it)->ts_ns <= to_ns ? *it : nullptr;
}

EventRef GuestFrames::List::last(FrameClass what, std::uint64_t from_ns, std::uint64_t to_ns) const {
  const auto& list = by_what_.at(static_cast<std::size_t>(what));
  const auto it = std::upper_bound(list.begin(), list.end(), to_ns,
                                   [](std::uint64_t t, EventRef e) { return t < e->ts_ns; });
  return it != list.begin() && (*(it - 1))->ts_ns >= from_ns ? *(it - 1) : nullptr;
}

GuestFrames::GuestFrames(const Trace& trace) {
  for (const gb_event& e : trace.guest.events) {
    if (e.kind == GB_KIND_guest_xmit) by_ports_[frame_key(e)].xmit.add(&e);
    if (e.kind == GB_KIND_guest_receive) by_ports_[frame_key(e)].receive.add(&e);
    if (e.kind == GB_KIND_guest_irq) irqs_.push_back(&e);
  }
}

EventRef GuestFrames::irq(std::uint64_t from_ns, std::uint64_t to_ns) const {
  const auto later = std::upper_bound(irqs_.begin(), irqs_.end(), to_ns,
                                      [](std::uint64_t t, EventRef e) { return t < e->ts_ns; });
  return later != irqs_.begin() && (*(later - 1))->ts_ns >= from_ns ? *(later - 1) : nullptr;
}

const GuestFrames::Frames& GuestFrames::of(const FlowPorts& ports) const {
  const auto it = by_ports_.find(flow_key(ports));
  return it == by_ports_.end() ? none_ : it->second;
}

std::vector<Node> build_chain(const GuestCycle& cycle, const HostFlow* flow, const ChainContext& context) {
  static const HostFlow kUnseen;
  const HostFlow& f = flow != nullptr ? *flow : kUnseen;
  const GuestConnection& c = cycle.connection;
  const GuestFrames::Frames& frames = context.frames.of(c.ports());
  const auto first = [&c](const GuestFrames::List& list, FrameClass what, std::uint64_t from_ns) {
    return list.first(what, from_ns, std::max(c.last_ns, c.first_ns));
  };
  OutboundChainBuilder b(context);
  if (cycle.kind == CycleKind::kFork) b.forks(cycle);
  b.add_bound(Slot::socket, Lane::kGuest, c.socket, c.socket_ns);
  b.add(Slot::connect_begin, Lane::kGuest, c.connect_begin);
  b.add(Slot::syn_xmit, Lane::kGuest, first(frames.xmit, FrameClass::kSyn, c.first_ns));
  b.handshake_on_host(f);
  const EventRef syn_ack = first(frames.receive, FrameClass::kSynAck, c.first_ns);
  b.add_guest_irq(Slot::syn_ack_guest_irq, Lane::kGuest, f.syn_ack_queued, f.syn_ack_inject, f.syn_ack_irq,
                  syn_ack);
  b.add(Slot::syn_ack_receive, Lane::kGuest, syn_ack);
  b.add(Slot::established, Lane::kGuest, c.established);
  b.add_optional(Slot::connect_done, Lane::kGuest, c.connect_done);  // early if the socket is non-blocking
  b.add(Slot::request_send, Lane::kGuest, c.send);
  b.add(Slot::request_xmit, Lane::kGuest, first(frames.xmit, FrameClass::kPayloadNoSyn, c.first_ns));
  b.exchange_on_host(f);
  const EventRef reply = first(frames.receive, FrameClass::kPayloadNoSyn, c.first_ns);
  b.add_guest_irq(Slot::reply_guest_irq, Lane::kGuest, f.reply_recv, f.reply_inject, f.reply_irq, reply);
  b.add(Slot::reply_receive, Lane::kGuest, reply);
  b.rest_on_host(f);
  // The last frame with payload that arrived before the client had read everything.
  const EventRef rest =
      c.read ? frames.receive.last(FrameClass::kPayload, c.first_ns, c.read->ts_ns) : nullptr;
  if (rest && rest != reply) b.add_optional(Slot::rest_receive, Lane::kRest, rest);
  b.add(Slot::reply_read, Lane::kGuest, c.read);
  if (c.read_eof) {
    const EventRef fin_xmit =
        c.half_close ? first(frames.xmit, FrameClass::kFin, c.half_close->ts_ns) : nullptr;
    b.end_of_file(f, c, fin_xmit, first(frames.receive, FrameClass::kFin, c.first_ns));
    b.add(Slot::eof_read, Lane::kGuest, c.read_eof);
  }
  b.ending(cycle);
  return std::move(b.nodes);
}

std::vector<Node> build_host_chain(const HostFlow& flow, bool has_irqs) {
  const ClockHull no_clock({});
  const GuestFrames no_frames{Trace{}};
  const KindsSeen seen{};
  const ChainContext context{no_clock, no_frames, seen};
  OutboundChainBuilder b(context);
  b.handshake_on_host(flow);
  b.exchange_on_host(flow);
  std::erase_if(b.nodes, [has_irqs](const Node& n) {
    return n.slot == Slot::reply_irq || (!has_irqs && n.slot == Slot::syn_ack_irq);
  });
  if (!b.nodes.front().at_ns || !b.nodes.back().at_ns) return {};
  b.rest_on_host(flow);
  if (!b.nodes.back().at_ns) b.nodes.pop_back();
  b.nodes.back().optional = false;
  return std::move(b.nodes);
}

}  // namespace glassbox::trace
