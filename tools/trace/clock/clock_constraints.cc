#include "tools/trace/clock/clock_constraints.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "tools/trace/file/kinds.h"
#include "tools/trace/file/records.h"
#include "tools/trace/path/flow_key.h"

namespace glassbox::trace {
namespace {

using Source = ClockConstraint::Source;

void collect_exchanges(const Trace& trace, ClockEvidence& out) {
  std::unordered_map<std::uint64_t, std::int64_t> host_times;  // by exchange number
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_exchange) host_times.emplace(e.arg[0], static_cast<std::int64_t>(e.ts_ns));
  const std::size_t host_count = host_times.size();
  for (const gb_event& e : trace.guest.events) {
    if (e.kind != GB_KIND_guest_clock) continue;
    const auto host = host_times.find(e.arg[0]);
    if (host == host_times.end()) {
      ++out.lone_exchanges;
      continue;
    }
    const std::uint64_t before = e.arg[1], after = e.arg[2];
    if (after < before || after >= (std::uint64_t{1} << 60)) {
      ++out.impossible;
      continue;
    }
    const std::int64_t h = host->second;
    out.constraints.push_back({h, static_cast<std::int64_t>(before) - h, static_cast<std::int64_t>(after) - h,
                               Source::kExchange, e.arg[0],
                               static_cast<std::uint16_t>(e.cpu & ~kAgentCpuBit)});
    host_times.erase(host);  // a number counts once
    ++out.exchanges;
  }
  out.lone_exchanges += host_count - out.exchanges;
}

// A frame as both sides name it. The guest counts bytes with or without the Ethernet header depending on
// where its hook sits, so lengths are compared modulo that difference.
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

constexpr std::uint64_t kEthernetHeader = 14;
constexpr std::uint64_t kEtherIpv6 = 0x86dd, kFamilyIpv6 = 10;

bool same_length(const Sighting& s) {
  return s.host_len == s.guest_len || s.host_len == s.guest_len + kEthernetHeader;
}

void collect_host_frames(const Trace& trace, Sightings& out_of_guest, Sightings& into_guest) {
  std::unordered_map<std::uint64_t, std::uint64_t> ports;  // by flow
  std::unordered_set<std::uint64_t> six;                   // flows that had an IPv6 frame
  for (const gb_event& e : trace.host.events) {
    if (e.kind == GB_KIND_tcp_syn) ports[e.arg[0]] = flow_key(e.arg[1] == kFamilyIpv6, e.arg[4], e.arg[7]);
    if (e.kind == GB_KIND_process_guest_frame && e.arg[2] == kEtherIpv6) six.insert(e.arg[0]);
    if (e.kind == GB_KIND_syn_ack_queued)
      ports.try_emplace(e.arg[0], flow_key(six.contains(e.arg[0]), e.arg[1], e.arg[2]));
  }
  std::unordered_map<std::uint32_t, std::int64_t> begun;  // by thread: the frame in hand since
  const auto add = [](Sightings& frames, const FrameKey& key, std::int64_t t, std::uint64_t len) {
    Sighting& s = frames[key];
    s.host_ns = t;
    s.host_len = len;
    ++s.host_count;
  };
  for (const gb_event& e : trace.host.events) {
    const auto t = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_process_guest_frame_begin) {
      begun[e.tid] = t;
    } else if (e.kind == GB_KIND_process_guest_frame) {
      const auto begin = begun.find(e.tid);
      const auto flow = ports.find(e.arg[0]);
      if (flow != ports.end() && begin != begun.end())
        add(out_of_guest, {flow->second, e.arg[1], e.arg[4] & 0xff}, begin->second, e.arg[5]);
      if (begin != begun.end()) begun.erase(begin);
    } else if (e.kind == GB_KIND_rx_inject) {
      const auto flow = ports.find(e.arg[0]);
      if (flow != ports.end()) add(into_guest, {flow->second, e.arg[1], e.arg[3] & 0xff}, t, e.arg[2]);
    }
  }
}

void add_guest_frame(Sightings& frames, const gb_event& e) {
  const auto known = frames.find(FrameKey{frame_key(e), e.arg[2], e.arg[4] & 0xff});
  if (known == frames.end()) return;  // the guest cannot make the table grow
  Sighting& s = known->second;
  s.guest_ns = static_cast<std::int64_t>(e.ts_ns);
  s.guest_len = e.arg[3];
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
