#include "tools/trace/clock/clock_report.h"

#include <algorithm>
#include <map>

#include "tools/trace/file/kinds.h"

namespace glassbox::trace {

ClockReport derive_clock(const Trace& trace) {
  ClockReport report;
  report.evidence = collect_clock_evidence(trace);
  std::map<std::uint16_t, std::vector<ClockConstraint>> by_vcpu;
  for (const ClockConstraint& c : report.evidence.constraints)
    by_vcpu[c.vcpu].push_back(c);
  for (auto& [vcpu, constraints] : by_vcpu) {
    const std::size_t count = constraints.size();
    report.vcpus.push_back({vcpu, count, ClockHull(std::move(constraints)).violations()});
  }
  ClockHull hull(report.evidence.constraints);
  if (!hull.known()) return report;
  for (const gb_event& e : trace.guest.events) {
    if (is_agent_kind(e.kind)) continue;
    const std::int64_t t = hull.to_host(static_cast<std::int64_t>(e.ts_ns));
    report.bound_ns = std::max(report.bound_ns, hull.at(t).half_width_ns());
  }
  report.hull = std::move(hull);
  return report;
}

}  // namespace glassbox::trace
