#include "tests/delays/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/bench/measure/stats.h"
#include "tools/trace/report/report.h"
#include "tools/trace/text/text.h"

namespace glassbox::delays {
namespace {

using trace::format_time;

constexpr double kConfidence = 0.99;
// The holder may be off by 5 % and the clock's bound; any other place may grow by up to 10 % of the delay.
constexpr double kHolderSlack = 0.05, kOthersShare = 0.10;

std::string describe(const MedianInterval& m) {
  return fmt::format("{} ({} to {})", trace::format_signed_time(m.median_ns),
                     trace::format_signed_time(m.low_ns), trace::format_signed_time(m.high_ns));
}

// For each pair: the delayed cycle's value minus its neighbour's.
std::vector<std::int64_t> differences(const std::vector<std::int64_t>& by_cycle) {
  std::vector<std::int64_t> out;
  for (std::size_t k = 0; k + 1 < by_cycle.size(); k += 2)
    out.push_back(by_cycle[k + 1] - by_cycle[k]);
  return out;
}

Decision within(const MedianInterval& m, std::int64_t low, std::int64_t high) {
  if (m.low_ns >= low && m.high_ns <= high) return Decision::kHolds;
  if (m.high_ns < low || m.low_ns > high) return Decision::kFails;
  return Decision::kUndecided;
}

Decision worse(Decision a, Decision b) {
  if (a == Decision::kFails || b == Decision::kFails) return Decision::kFails;
  return a == Decision::kUndecided ? a : b;
}

std::string_view word(Decision d) {
  return d == Decision::kHolds ? "holds" : d == Decision::kFails ? "FAILS" : "undecided";
}

// How long the starved thread was runnable without a CPU in this step.
std::int64_t starved_ns(const trace::CycleResult& cycle, const trace::Step& step,
                        const trace::CycleStates& states, Starved starved) {
  if (starved == Starved::kNone || step.segment == trace::Segment::kUnattributed) return 0;
  const auto in = [&](trace::ThreadState state) {
    return states.split(cycle, step).at(static_cast<std::size_t>(state));
  };
  const trace::Actor actor = trace::actor_of(step);
  if (starved == Starved::kNetwork)
    return actor == trace::Actor::kNetwork ? in(trace::ThreadState::kRunnable) : 0;
  return in(trace::ThreadState::kStolen);
}

}  // namespace

MedianInterval median_of(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  // bench::median_interval() takes unsigned samples: shift them up and back.
  constexpr std::int64_t kShift = std::int64_t{1} << 62;
  std::vector<std::uint64_t> shifted;
  shifted.reserve(values.size());
  for (const std::int64_t value : values)
    shifted.push_back(static_cast<std::uint64_t>(value + kShift));
  const auto median = bench::percentile(shifted, 0.5);
  const auto interval = bench::median_interval(shifted, kConfidence);
  if (!median || !interval) return {0, INT64_MIN, INT64_MAX};
  const auto back = [](std::uint64_t value) { return static_cast<std::int64_t>(value) - kShift; };
  return {back(*median), back(interval->low_ns), back(interval->high_ns)};
}

Places places_of(const trace::Attribution& a, const trace::CycleStates& states, Starved starved) {
  Places out;
  for (std::size_t k = 0; k < trace::kSegments; ++k)
    out.names.emplace_back(trace::segment_info(static_cast<trace::Segment>(k)).id);
  if (starved != Starved::kNone) out.names.emplace_back(kRunnable);
  out.names.emplace_back("unattributed");
  out.by_cycle.resize(out.names.size());
  for (const trace::CycleResult& c : a.cycles) {
    std::vector<std::int64_t> values(out.names.size(), 0);
    for (const trace::Step& step : c.path.steps) {
      const std::int64_t starved_here = starved_ns(c, step, states, starved);
      const std::size_t place = step.segment == trace::Segment::kUnattributed
                                    ? out.names.size() - 1
                                    : static_cast<std::size_t>(step.segment);
      values.at(place) += step.end_ns - step.begin_ns - starved_here;
      if (starved != Starved::kNone) values.at(trace::kSegments) += starved_here;
    }
    for (std::size_t k = 0; k < values.size(); ++k)
      out.by_cycle[k].push_back(values[k]);
  }
  return out;
}

Judgement judge_places(const Places& places, const std::vector<std::int64_t>& delay_ns,
                       const std::string& holder, std::int64_t clock_bound_ns) {
  Judgement out;
  const std::vector<std::int64_t> made = differences(delay_ns);
  const MedianInterval delay = median_of(made);
  out.text = fmt::format("  delay made: {} in {} pairs\n", describe(delay), made.size());
  if (delay.low_ns <= 0) {
    out.text += "  the delay is too small to judge: its interval includes 0\n";
    return out;
  }
  const bool known = std::find(places.names.begin(), places.names.end(), holder) != places.names.end();
  out.decision = known ? Decision::kHolds : Decision::kFails;
  const auto share = [&delay](double part) {
    return static_cast<std::int64_t>(part * static_cast<double>(delay.median_ns));
  };
  for (std::size_t k = 0; k < places.names.size(); ++k) {
    std::vector<std::int64_t> grown = differences(places.by_cycle[k]);
    const bool holds_it = places.names[k] == holder;
    const MedianInterval growth = median_of(grown);
    Decision decision = Decision::kHolds;
    std::string text = fmt::format("  {} grows by {}", places.names[k], describe(growth));
    if (holds_it) {
      for (std::size_t p = 0; p < grown.size() && p < made.size(); ++p)
        grown[p] -= made[p];
      const MedianInterval off = median_of(grown);
      const std::int64_t slack = clock_bound_ns + share(kHolderSlack);
      decision = within(off, -slack, slack);
      text += fmt::format(", off by {} of +-{} allowed", describe(off), format_time(slack));
    } else {
      decision = within(growth, INT64_MIN, share(kOthersShare));
    }
    if (holds_it || decision != Decision::kHolds || std::abs(growth.median_ns) > share(0.02))
      out.text += fmt::format("{}: {}\n", text, word(decision));
    out.decision = worse(out.decision, decision);
  }
  return out;
}

Judgement judge_verdicts(const trace::Trace& trace, const std::string& verdict) {
  Judgement out{Decision::kFails, {}};
  bool right = false, others = false;
  for (const trace::Verdict& v : trace::make_report(trace).verdicts) {
    const bool confirmed = v.outcome == trace::Outcome::kConfirmed;
    if (v.id == verdict)
      right = confirmed;
    else
      others |= confirmed;
    out.text += fmt::format("    {} {}: {}\n", trace::name_of(v.outcome), v.id, v.evidence);
  }
  if (right && !others) out.decision = Decision::kHolds;
  return out;
}

}  // namespace glassbox::delays
