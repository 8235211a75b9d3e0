#include "tools/trace/path/traffic.h"

#include <algorithm>
#include <span>

namespace glassbox::trace {
namespace {

constexpr std::uint64_t kFin = 1, kSyn = 2, kPsh = 8, kPayloadMark = 4;
constexpr std::uint64_t kMaxBareFrame = 14 + 40 + 60;  // as in flows.cc

std::uint64_t marks_of(std::uint64_t flags, bool payload) {
  return (flags & (kFin | kSyn)) | (payload ? kPayloadMark : 0);
}
// A frame on the host's side has no payload length: PSH or its size tells.
bool has_payload(std::uint64_t flags, std::uint64_t len) {
  return (flags & kPsh) != 0 || len > kMaxBareFrame;
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
    if ((e.kind == GB_KIND_rx_inject || e.kind == GB_KIND_process_guest_frame) && e.arg[0] != 0)
      host_[e.arg[0]].push_back(&e);
  if (!clock.hull) return;
  SocketVersions versions;
  for (const gb_event& e : trace.guest.events) {
    versions.note(e);
    if (e.kind == GB_KIND_guest_xmit || e.kind == GB_KIND_guest_receive)
      guest_[frame_key(e)].push_back(&e);
    else if (e.kind == GB_KIND_guest_send && e.arg[1] > 0)
      guest_[flow_key(versions.six(e.arg[0]), e.arg[2], e.arg[3])].push_back(&e);
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
  const std::uint64_t marks = marks_of(e.arg[4], e.arg[9] > 0);
  if (marks != 0)
    (e.kind == GB_KIND_guest_xmit ? to.guest_sent : to.guest_got).push_back({at, e.arg[2], marks});
  else if (e.kind == GB_KIND_guest_receive)
    to.acks_to_guest.push_back(at);
}

CycleTraffic Traffic::of(const CycleResult& cycle) const {
  CycleTraffic out;
  const HostFlow* f = flow(cycle.flow);
  if (f == nullptr) return out;
  if (const auto found = host_.find(cycle.flow); found != host_.end()) {
    for (const EventRef e : between(found->second, cycle.begin_ns, cycle.end_ns + kLateNs)) {
      const bool inject = e->kind == GB_KIND_rx_inject;
      const std::uint64_t flags = inject ? e->arg[3] : e->arg[4];
      const std::uint64_t marks = marks_of(flags, has_payload(flags, inject ? e->arg[2] : e->arg[5]));
      if (marks == 0) continue;
      (inject ? out.nat_sent : out.nat_got)
          .push_back({static_cast<std::int64_t>(e->ts_ns), e->arg[1], marks});
    }
  }
  if (const auto found = guest_.find(flow_key(f->six, f->guest_port, f->dst_port)); found != guest_.end()) {
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
