// Were flows refused because something ran out or because of a limit?
#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "bpf/event_args.h"
#include "bpf/reasons.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

// Something is used up: the NAT's table, the host, or what the user allows. The other reasons lie in the
// destination.
bool is_capacity(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kTableFull:
    case RefuseReason::kHostResources:
    case RefuseReason::kTooManyConnecting:
    case RefuseReason::kTooManyFlows:
    case RefuseReason::kTooManyNewFlows:
      return true;
    default:
      return false;
  }
}

void append(std::string& list, std::uint64_t count, std::string_view what) {
  if (count > 0) list += fmt::format("{}{} x {}", list.empty() ? "" : ", ", count, what);
}

}  // namespace

Verdict flow_table_verdict(const Trace& trace) {
  Verdict v{.id = "flow_table_pressure",
            .claim = "the NAT runs out of flows",
            .criterion = "a flow refused by a full table, a limit, or the host's resources",
            .evidence = {}};
  if (!probe_listened(trace, GB_KIND_flow_refused)) {
    v.evidence = "missing: the probe flow_refused";
    return v;
  }
  std::array<std::uint64_t, kRefuseReasons> refused{};
  std::uint64_t unknown = 0;
  for (const gb_event& e : trace.host.events) {
    if (e.kind != GB_KIND_flow_refused) continue;
    const std::uint64_t reason = args::flow_refused(e).reason;
    ++(reason < refused.size() ? refused.at(reason) : unknown);
  }
  std::string by_capacity, others;
  for (std::size_t k = 0; k < refused.size(); ++k) {
    const auto reason = static_cast<RefuseReason>(k);
    append(is_capacity(reason) ? by_capacity : others, refused.at(k), name_of(reason));
  }
  append(others, unknown, "a reason that this program does not know");
  v.outcome = by_capacity.empty() ? Outcome::kFalsified : Outcome::kConfirmed;
  v.evidence = fmt::format("refused: {}", by_capacity.empty() ? "none for want of room" : by_capacity);
  if (!others.empty()) v.evidence += fmt::format("; for reasons of the destination: {}", others);
  return v;
}

}  // namespace glassbox::trace
