#include "tools/trace/path/traffic.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <span>

#include "bpf/event_args.h"

namespace glassbox::trace {
namespace {

using Frame = CycleTraffic::Frame;

Frame frame(std::int64_t at_ns, const FrameArgs& args, bool payload) {
  return {at_ns, args.seq, (args.tcp_flags & (TH_FIN | TH_SYN)) | (payload ? Frame::kPayloadMark : 0)};
}

std::span<const EventRef> between(const std::vector<EventRef>& list, std::int64_t from, std::int64_t to) {
  const auto before = [](EventRef e, std::int64_t t) { return static_cast<std::int64_t>(e->ts_ns) < t; };
  const auto first = std::lower_bound(list.begin(), list.end(), from, before);
  const auto last = std::lower_bound(first, list.end(), to + 1, before);
  return {first, last};
}

}  // namespace

Traffic::Traffic(const Trace& trace, const ClockReport& clock) : clock_(clock), flows_(trace) {
  for (const HostFlow& f : flows_.flows())
    by_number_[f.flow] = &f;
  for (const gb_event& e : trace.host.events)
    if ((e.kind == GB_KIND_rx_inject || e.kind == GB_KIND_process_guest_frame) && flow_of(e) != 0)
      host_[flow_of(e)].push_back(&e);
  if (!clock.hull) return;
  SocketVersions versions;
  for (const gb_event& e : trace.guest.events) {
    versions.note(e);
    if (e.kind == GB_KIND_guest_xmit || e.kind == GB_KIND_guest_receive)
      guest_[frame_key(e)].push_back(&e);
    else if (e.kind == GB_KIND_guest_send && args::guest_send(e).bytes > 0)
      guest_[versions.flow_key_of(e)].push_back(&e);
    guest_is_traced_ |= e.kind == GB_KIND_guest_xmit;
  }
}

const HostFlow* Traffic::flow(std::uint64_t number) const {
  const auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : found->second;
}

std::int64_t Traffic::host_time(const gb_event& e) const {
  return clock_.hull->to_host(static_cast<std::int64_t>(e.ts_ns));
}

void Traffic::add_guest(const gb_event& e, CycleTraffic& to) const {
  const std::int64_t at = host_time(e);
  if (e.kind == GB_KIND_guest_send) {
    to.guest_sends.push_back(at);
    return;
  }
  const FrameArgs args = frame_of(e);
  const Frame seen = frame(at, args, args.payload > 0);
  if (seen.marks != 0)
    (e.kind == GB_KIND_guest_xmit ? to.guest_sent : to.guest_got).push_back(seen);
  else if (e.kind == GB_KIND_guest_receive)
    to.acks_to_guest.push_back(at);
}

CycleTraffic Traffic::of(const CycleResult& cycle) const {
  CycleTraffic out;
  const HostFlow* f = flow(cycle.flow);
  if (f == nullptr) return out;
  if (const auto found = host_.find(cycle.flow); found != host_.end()) {
    for (const EventRef e : between(found->second, cycle.begin_ns, cycle.end_ns + kLateNs)) {
      const FrameArgs args = frame_of(*e);
      const Frame seen = frame(static_cast<std::int64_t>(e->ts_ns), args, looks_like_payload(args));
      if (seen.marks == 0) continue;
      (e->kind == GB_KIND_rx_inject ? out.nat_sent : out.nat_got).push_back(seen);
    }
  }
  if (const auto found = guest_.find(flow_key(f->ipv6, f->guest_port, f->dst_port)); found != guest_.end()) {
    const auto guest_time = [this](std::int64_t host_ns) {
      return host_ns + clock_.hull->at(host_ns).mid_ns();
    };
    for (const EventRef e :
         between(found->second, guest_time(cycle.begin_ns), guest_time(cycle.end_ns + kLateNs)))
      add_guest(*e, out);
  }
  return out;
}

}  // namespace glassbox::trace
