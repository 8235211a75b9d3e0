#include "tools/trace/path/inbound.h"

#include "tools/trace/path/chain_builder.h"

namespace glassbox::trace {
namespace {

using FrameClass = GuestFrames::FrameClass;

// What the guest did for a request, within the flow.
struct Guest {
  EventRef syn{}, syn_ack{}, request{}, reply{};
  EventRef accept{}, read_enter{}, read{}, send{};
};

void find_calls(const std::vector<EventRef>& calls, std::uint64_t from, std::uint64_t to, Guest& g) {
  EventRef entered = nullptr;
  auto it = std::lower_bound(calls.begin(), calls.end(), from,
                             [](EventRef call, std::uint64_t t) { return call->ts_ns < t; });
  for (; it != calls.end() && (*it)->ts_ns <= to; ++it) {
    const EventRef e = *it;
    switch (e->kind) {
      case GB_KIND_guest_accept:
        if (!g.accept) g.accept = e;
        break;
      case GB_KIND_guest_recv_enter:
        entered = e;
        break;
      case GB_KIND_guest_recv:
        if (args::guest_recv(*e).result <= 0 || g.read) break;
        g.read = e;
        g.read_enter = entered;
        break;
      case GB_KIND_guest_send:
        if (!g.send && (!g.request || e->ts_ns >= g.request->ts_ns)) g.send = e;
        break;
      default:
        break;
    }
  }
  if (!g.read) g.read_enter = entered;
}

Guest find(const HostFlow& f, const GuestServers& servers, const ChainContext& context) {
  const auto guest_time = [](std::int64_t at, std::int64_t theta) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, at + theta));
  };
  const std::uint64_t from = guest_time(f.first_ns, context.clock.at(f.first_ns).lo_ns);
  const std::uint64_t to = guest_time(f.last_ns, context.clock.at(f.last_ns).hi_ns);
  const GuestFrames::Frames& frames = context.frames.of({f.ipv6, f.guest_port, f.dst_port});
  Guest g;
  g.syn = frames.receive.first(FrameClass::kSynOnly, from, to);
  g.syn_ack = frames.xmit.first(FrameClass::kSynAck, from, to);
  g.request = frames.receive.first(FrameClass::kPayload, from, to);
  g.reply = frames.xmit.first(FrameClass::kPayload, g.request ? g.request->ts_ns : from, to);
  find_calls(servers.of(f), from, to, g);
  return g;
}

class InboundChainBuilder : public ChainBuilder {
 public:
  using ChainBuilder::ChainBuilder;

  // When the peer's connect() was answered: known from the accept, and again from the event at the flow's
  // end.
  void beginning(const HostFlow& f) {
    add_bound(Slot::in_connected, Lane::kNet, nullptr, f.begin_ns);
    if (f.host_inbound != nullptr) nodes.back().implied = false;
    add(Slot::in_accept, Lane::kNet, f.host_inbound);
    add(Slot::in_flow, Lane::kNet, f.syn);
    add(Slot::in_syn_inject, Lane::kNet, f.syn_ack_inject);
  }

  void handshake_in_guest(const HostFlow& f, const Guest& g) {
    add_guest_irq(Slot::in_syn_guest_irq, Lane::kGuest, f.syn, f.syn_ack_inject, f.syn_ack_irq, g.syn);
    add(Slot::in_syn_receive, Lane::kGuest, g.syn);
    add(Slot::in_syn_ack_xmit, Lane::kGuest, g.syn_ack);
  }

  void exchange_in_guest(const HostFlow& f, const Guest& g) {
    add_guest_irq(Slot::in_request_guest_irq, Lane::kGuest, f.reply_recv, f.reply_inject, f.reply_irq,
                  g.request);
    add(Slot::in_request_receive, Lane::kGuest, g.request);
    add_optional(Slot::in_server_accept, Lane::kGuestServer, g.accept);
    add_optional(Slot::in_server_read_enter, Lane::kGuestServer, g.read_enter);
    add(Slot::in_server_read, Lane::kGuestServer, g.read);
    add(Slot::in_server_send, Lane::kGuestServer, g.send);
    add(Slot::in_reply_xmit, Lane::kGuestServer, g.reply);
  }
};

}  // namespace

GuestServers::GuestServers(const Trace& trace) {
  SocketVersions versions;
  for (const gb_event& e : trace.guest.events) {
    versions.note(e);
    switch (e.kind) {
      case GB_KIND_guest_accept:
      case GB_KIND_guest_recv_enter:
      case GB_KIND_guest_recv:
      case GB_KIND_guest_send:
        by_ports_[versions.flow_key_of(e)].push_back(&e);
        break;
      default:
        break;
    }
  }
}

const std::vector<EventRef>& GuestServers::of(const HostFlow& flow) const {
  const auto it = by_ports_.find(flow_key(flow.ipv6, flow.guest_port, flow.dst_port));
  return it == by_ports_.end() ? none_ : it->second;
}

std::vector<Node> build_inbound_chain(const HostFlow& f, const GuestServers* servers,
                                      const ChainContext& context, bool has_irqs) {
  const Guest guest = servers != nullptr ? find(f, *servers, context) : Guest{};
  InboundChainBuilder b(context);
  b.beginning(f);
  if (has_irqs) b.add_irq(Slot::in_syn_irq, Lane::kNet, f.syn_ack_irq);
  if (servers != nullptr) b.handshake_in_guest(f, guest);
  b.add(Slot::in_syn_ack_frame, Lane::kNet, f.syn_frame);
  b.add(Slot::in_request_recv, Lane::kNet, f.reply_recv);
  b.add(Slot::in_request_inject, Lane::kNet, f.reply_inject);
  if (has_irqs) b.add_irq(Slot::in_request_irq, Lane::kNet, f.reply_irq);
  if (servers != nullptr) b.exchange_in_guest(f, guest);
  b.add(Slot::in_reply_frame, Lane::kNet, f.request_frame);
  b.add_bound(Slot::in_reply_sent, Lane::kNet, f.request_sent, f.reply_ns);
  if (!b.nodes.front().at_ns) b.nodes.erase(b.nodes.begin());  // accepted, but connected before the trace
  if (!b.nodes.front().at_ns || !b.nodes.back().at_ns) return {};
  return std::move(b.nodes);
}

}  // namespace glassbox::trace
