#include "tools/trace/verdicts/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <optional>

#include "bpf/event_args.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

std::size_t index(Segment segment) {
  return static_cast<std::size_t>(segment);
}

double total_time(const Attribution& a) {
  double sum = 0;
  for (const CycleResult& c : a.cycles)
    sum += static_cast<double>(c.total_ns());
  return sum;
}

double sum(const Held& held) {
  return std::accumulate(held.begin(), held.end(), 0.0);
}

// The part of the difference between the slower and the faster half of the cycles that belongs to the claim.
// Empty if the halves differ by less than kSlower, or with too few cycles.
std::optional<double> contrast(const Held& held, const Attribution& a) {
  constexpr std::size_t kFewest = 10;
  const std::size_t half = a.cycles.size() / 2;
  if (half < kFewest) return std::nullopt;
  std::vector<std::size_t> order(a.cycles.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&a](std::size_t x, std::size_t y) {
    return a.cycles[x].total_ns() < a.cycles[y].total_ns();
  });
  double fast = 0, slow = 0, held_fast = 0, held_slow = 0;
  for (std::size_t k = 0; k < half; ++k) {
    const std::size_t low = order[k], high = order[order.size() - 1 - k];
    fast += static_cast<double>(a.cycles[low].total_ns());
    slow += static_cast<double>(a.cycles[high].total_ns());
    held_fast += held[low];
    held_slow += held[high];
  }
  if (fast <= 0 || slow < kSlower * fast) return std::nullopt;
  return (held_slow - held_fast) / (slow - fast);
}

bool host_side_only(const Attribution& a) {
  return !a.cycles.empty() && a.cycles.front().kind == CycleKind::kHostOnly;
}

struct ShareClaim {
  std::string_view id, claim;
  std::initializer_list<Segment> segments;
  std::string_view lost;  // the events that are missing if no boundary was seen
  bool guest = false;     // the claim needs the guest's side
  // States whose time does not count: a client that runs is not idle.
  std::initializer_list<ThreadState> but_not = {};
  // The claim is about the time in which a request has reached the server: what a wire takes does not count.
  const Wire* wire = nullptr;
};

// The time of a cycle's steps in a segment, less what the claim leaves out. Without scheduling events the
// state is unknown, and all time counts. Adds to `hidden` the time of which the trace does not say whether it
// counts.
double held_in(const CycleResult& c, Segment segment, const ShareClaim& claim, const CycleStates& states,
               double& hidden) {
  double held = 0;
  if (c.segment_ns[index(segment)] == 0) return held;
  for (Step step : c.path.steps) {
    if (step.segment != segment) continue;
    if (claim.wire != nullptr) {
      const auto from = claim.wire->waits_from(c.flow, step);
      if (!from) hidden += static_cast<double>(step.end_ns - step.begin_ns);
      step.begin_ns = from.value_or(step.end_ns);
    }
    held += static_cast<double>(step.end_ns - step.begin_ns);
    if (claim.but_not.size() == 0) continue;
    const StateSplit split = states.split(c, step);
    for (const ThreadState state : claim.but_not)
      held -= static_cast<double>(split.at(static_cast<std::size_t>(state)));
  }
  return held;
}

// A verdict on the share of some rows of the table.
Verdict by_rows(const ShareClaim& claim, const Attribution& a, const CycleStates& states) {
  std::string rows;
  for (const Segment s : claim.segments)
    rows += fmt::format("{}{}", rows.empty() ? "" : " + ", segment_info(s).id);
  if (claim.but_not.size() > 0) {
    std::string names;
    for (const ThreadState state : claim.but_not)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(state));
    rows += fmt::format(" (not while {})", names);
  }
  Verdict v{.id = claim.id, .claim = claim.claim, .criterion = share_criterion(rows), .evidence = {}};
  if (a.cycles.empty()) {
    v.evidence = "no complete cycle in the trace";
    return v;
  }
  if (claim.guest && host_side_only(a)) {
    v.evidence = "missing: the guest's events";
    return v;
  }
  bool applies = false, seen = false;
  double hidden = 0;
  Held held(a.cycles.size(), 0);
  for (const Segment s : claim.segments) {
    applies |= a.applies[index(s)];
    for (std::size_t k = 0; k < a.cycles.size(); ++k) {
      seen |= a.cycles[k].segment_seen[index(s)];
      held[k] += held_in(a.cycles[k], s, claim, states, hidden);
    }
  }
  if (applies && !seen) {
    v.evidence = fmt::format("missing: {}", claim.lost);
    return v;
  }
  decide_by_share(v, held, a, applies ? "" : "no cycle has it on its path");
  double unattributed = 0;
  for (const CycleResult& c : a.cycles)
    unattributed += static_cast<double>(c.unattributed_ns);
  if (!applies || v.outcome != Outcome::kFalsified ||
      sum(held) + hidden + unattributed < kShare * total_time(a))
    return v;
  v.outcome = Outcome::kNotTestable;
  if (hidden > 0)
    v.evidence += fmt::format("; missing: when requests arrived over the wire to the server ({:.1f} %)",
                              100 * hidden / total_time(a));
  if (unattributed > 0)
    v.evidence += fmt::format("; missing: what is in the {:.1f} % that are unattributed",
                              100 * unattributed / total_time(a));
  return v;
}

Verdict server_verdict(const ShareClaim& claim, const Attribution& a, const CycleStates& states) {
  const bool remote = std::any_of(a.cycles.begin(), a.cycles.end(), [](const CycleResult& c) {
    return c.segment_seen[index(Segment::remote_server)];
  });
  const bool local = std::any_of(claim.segments.begin(), claim.segments.end(), [&a](Segment s) {
    return std::any_of(a.cycles.begin(), a.cycles.end(),
                       [s](const CycleResult& c) { return c.segment_seen[index(s)]; });
  });
  Verdict v = by_rows(claim, a, states);
  if (!a.cycles.empty() && !local) {
    v.outcome = Outcome::kNotTestable;
    v.evidence = remote ? "missing: the server's events, it runs on another machine"
                        : fmt::format("missing: {}", claim.lost);
  }
  return v;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kConfirmed:
      return "confirmed";
    case Outcome::kFalsified:
      return "falsified";
    case Outcome::kNotTestable:
      break;
  }
  return "not testable here";
}

std::string share_criterion(std::string_view what) {
  return fmt::format("{} >= {:.0f} % of the cycles' time, or >= {:.0f} % of what the slower half takes more",
                     what, kShare * 100, kContrast * 100);
}

void decide_by_share(Verdict& verdict, const Held& held, const Attribution& a, std::string_view detail) {
  const double total = total_time(a);
  const double share = total > 0 ? sum(held) / total : 0;
  const std::optional<double> more = contrast(held, a);
  verdict.outcome =
      share >= kShare || more.value_or(0) >= kContrast ? Outcome::kConfirmed : Outcome::kFalsified;
  verdict.evidence =
      fmt::format("{:.1f} % of the cycles' time, {} a cycle", share * 100,
                  format_time(static_cast<std::int64_t>(
                      sum(held) / static_cast<double>(std::max<std::size_t>(1, a.cycles.size())))));
  if (more) verdict.evidence += fmt::format(", {:.1f} % of what the slower half takes more", *more * 100);
  if (!detail.empty()) verdict.evidence += fmt::format("; {}", detail);
}

bool probe_listened(const Trace& trace, std::uint16_t kind) {
  const Side& side = is_guest_kind(kind) ? trace.guest : trace.host;
  if (std::any_of(side.events.begin(), side.events.end(),
                  [kind](const gb_event& e) { return e.kind == kind; }))
    return true;
  return std::any_of(side.hooks.begin(), side.hooks.end(),
                     [kind](const bpf::Hook& hook) { return hook.attached && hook.name == kind_name(kind); });
}

std::vector<Verdict> compute_verdicts(const Trace& trace, const ClockReport& clock, const Attribution& a,
                                      const CycleStates& states) {
  using enum Segment;
  const Wire wire(trace);
  std::vector<Verdict> out;
  out.push_back(net_poll_timeout_verdict(trace, a));
  out.push_back(missing_wake_verdict(trace, clock, a));
  out.push_back(flow_table_verdict(trace));
  out.push_back(delayed_ack_verdict(trace, clock, a, wire));
  out.push_back(retransmission_verdict(trace, clock, a, wire));
  out.push_back(by_rows({"guest_fork_exec",
                         "fork and exec in the guest dominate the cycle",
                         {guest_fork_exec},
                         "the guest's fork and exec events",
                         true,
                         {ThreadState::kStolen}},
                        a, states));
  out.push_back(by_rows({"guest_client",
                         "idle time of the guest's client dominates the cycle",
                         {guest_client_start, guest_request, guest_close},
                         "the client's events",
                         true,
                         {ThreadState::kRunning, ThreadState::kExit, ThreadState::kStolen}},
                        a, states));
  out.push_back(by_rows({"host_connect",
                         "the host's connect() dominates the cycle",
                         {host_connect},
                         "the probes tcp_connect_begin and tcp_connect_done",
                         false,
                         {ThreadState::kRunnable}},
                        a, states));
  out.push_back(server_verdict({"server_accept_wait",
                                "the server's late accept() dominates the cycle",
                                {server_accept_wait},
                                "host_accept events",
                                false,
                                {ThreadState::kRunnable},
                                &wire},
                               a, states));
  out.push_back(server_verdict({"server_read_wait",
                                "the server's late read() dominates the cycle",
                                {server_read_wait},
                                "host_server_read events",
                                false,
                                {ThreadState::kRunnable},
                                &wire},
                               a, states));
  out.push_back(server_verdict({"server_think",
                                "the server's think time dominates the cycle",
                                {server_think},
                                "host_server_read and host_server_write_enter events",
                                false,
                                {ThreadState::kRunnable}},
                               a, states));
  out.push_back(vcpu_scheduling_verdict(states, a));
  out.push_back(net_scheduling_verdict(states, a));
  out.push_back(server_scheduling_verdict(states, a));
  return out;
}

}  // namespace glassbox::trace
