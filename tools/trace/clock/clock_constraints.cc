#include "tools/trace/clock/clock_constraints.h"

#include <linux/if_ether.h>
#include <sys/socket.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "bpf/event_args.h"
#include "tools/trace/file/flow_key.h"
#include "tools/trace/file/records.h"

namespace glassbox::trace {
namespace {

using Source = ClockConstraint::Source;

void collect_exchanges(const Trace& trace, ClockEvidence& out) {
  std::unordered_map<std::uint64_t, std::int64_t> host_times;  // by exchange number
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_exchange)
      host_times.emplace(args::clock_exchange(e).exchange, static_cast<std::int64_t>(e.ts_ns));
  const std::size_t host_count = host_times.size();
  for (const gb_event& e : trace.guest.events) {
    if (e.kind != GB_KIND_guest_clock) continue;
    const auto& guest = args::guest_clock(e);
    const auto host = host_times.find(guest.exchange);
    if (host == host_times.end()) {
      ++out.lone_exchanges;
      continue;
    }
    const std::uint64_t before = guest.before_ns, after = guest.after_ns;
    if (after < before || after >= (std::uint64_t{1} << 60)) {
      ++out.impossible;
      continue;
    }
    const std::int64_t h = host->second;
    out.constraints.push_back({h, static_cast<std::int64_t>(before) - h, static_cast<std::int64_t>(after) - h,
                               Source::kExchange, guest.exchange,
                               static_cast<std::uint16_t>(e.cpu & ~kAgentCpuBit)});
    host_times.erase(host);  // a number counts once
    ++out.exchanges;
  }
  out.lone_exchanges += host_count - out.exchanges;
}

// Names a frame on both sides. The guest's length includes the Ethernet header or not, depending on its hook,
// so same_length() allows for both.
struct FrameKey {
  std::uint64_t ports, seq, flags;
  friend bool operator==(const FrameKey&, const FrameKey&) = default;
};
struct FrameKeyHash {
  std::size_t operator()(const FrameKey& k) const {
    std::uint64_t h = k.ports * 0x9e3779b97f4a7c15ULL;
    h = (h ^ k.seq) * 0xc2b2ae3d27d4eb4fULL;
    return static_cast<std::size_t>((h ^ k.flags ^ (h >> 29)) * 0x165667b19e3779f9ULL);
  }
};

struct Sighting {
  std::int64_t host_ns = 0, guest_ns = 0;
  std::uint64_t host_len = 0, guest_len = 0;
  std::uint32_t host_count = 0, guest_count = 0;
  std::uint16_t vcpu = 0;
};
using Sightings = std::unordered_map<FrameKey, Sighting, FrameKeyHash>;

bool same_length(const Sighting& s) {
  return s.host_len == s.guest_len || s.host_len == s.guest_len + ETH_HLEN;
}

void collect_host_frames(const Trace& trace, Sightings& out_of_guest, Sightings& into_guest) {
  std::unordered_map<std::uint64_t, std::uint64_t> ports;  // by flow
  std::unordered_set<std::uint64_t> ipv6;                  // flows that had an IPv6 frame
  for (const gb_event& e : trace.host.events) {
    const std::uint64_t flow = flow_of(e);
    if (e.kind == GB_KIND_tcp_syn) {
      const auto& syn = args::tcp_syn(e);
      ports[flow] = flow_key(syn.family == AF_INET6, syn.guest_port, syn.dst_port);
    }
    if (e.kind == GB_KIND_process_guest_frame && args::process_guest_frame(e).ethertype == ETH_P_IPV6)
      ipv6.insert(flow);
    if (e.kind == GB_KIND_syn_ack_queued) {
      const auto& queued = args::syn_ack_queued(e);
      ports.try_emplace(flow, flow_key(ipv6.contains(flow), queued.guest_port, queued.dst_port));
    }
  }
  std::unordered_map<std::uint32_t, std::int64_t>
      begun;  // by thread: when it took the frame that it is processing
  const auto add = [](Sightings& frames, std::uint64_t flow_ports, const gb_event& e, std::int64_t t) {
    const FrameArgs frame = frame_of(e);
    Sighting& s = frames[FrameKey{flow_ports, frame.seq, frame.tcp_flags & 0xff}];
    s.host_ns = t;
    s.host_len = frame.len;
    ++s.host_count;
  };
  for (const gb_event& e : trace.host.events) {
    const auto t = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_process_guest_frame_begin) {
      begun[e.tid] = t;
    } else if (e.kind == GB_KIND_process_guest_frame) {
      const auto begin = begun.find(e.tid);
      const auto flow = ports.find(flow_of(e));
      if (flow != ports.end() && begin != begun.end()) add(out_of_guest, flow->second, e, begin->second);
      if (begin != begun.end()) begun.erase(begin);
    } else if (e.kind == GB_KIND_rx_inject) {
      const auto flow = ports.find(flow_of(e));
      if (flow != ports.end()) add(into_guest, flow->second, e, t);
    }
  }
}

void add_guest_frame(Sightings& frames, const gb_event& e) {
  const FrameArgs frame = frame_of(e);
  const auto known = frames.find(FrameKey{frame_key(e), frame.seq, frame.tcp_flags & 0xff});
  if (known == frames.end()) return;  // only the host's frames enter the table: the guest cannot make it grow
  Sighting& s = known->second;
  s.guest_ns = static_cast<std::int64_t>(e.ts_ns);
  s.guest_len = frame.len;
  s.vcpu = e.cpu;
  ++s.guest_count;
}

void collect_frames(const Trace& trace, ClockEvidence& out) {
  Sightings out_of_guest, into_guest;
  collect_host_frames(trace, out_of_guest, into_guest);
  for (const gb_event& e : trace.guest.events) {
    if (e.kind == GB_KIND_guest_xmit) add_guest_frame(out_of_guest, e);
    if (e.kind == GB_KIND_guest_receive) add_guest_frame(into_guest, e);
  }
  const auto pair_up = [&out](const Sightings& frames, Source source) {
    for (const auto& [key, s] : frames) {
      if (s.host_count != 1 || s.guest_count != 1 || !same_length(s)) continue;
      ClockConstraint c{s.host_ns, {}, {}, source, key.seq, s.vcpu};
      (source == Source::kTransmit ? c.lo_ns : c.hi_ns) = s.guest_ns - s.host_ns;
      out.constraints.push_back(c);
      ++out.frames;
    }
  };
  pair_up(out_of_guest, Source::kTransmit);
  pair_up(into_guest, Source::kReceive);
}

}  // namespace

ClockEvidence collect_clock_evidence(const Trace& trace) {
  ClockEvidence out;
  collect_exchanges(trace, out);
  collect_frames(trace, out);
  return out;
}

}  // namespace glassbox::trace
