// Whether a report finds a known delay in the place where it was made.
//
// Theory of operation. Cycles come in pairs of neighbours, the first undelayed, the second delayed. The time
// of each place is compared within a pair: a slow change of the machine affects both cycles alike, and a
// disturbance spoils only one pair. The median of the pairs' differences is the place's result, with an
// interval from order statistics (at least 99 %). The interval lies inside the allowed range, outside it, or
// across its edge; in the last case more pairs are needed.
//
// A place is a segment of the report, "unattributed", or, if a thread is kept off the CPU on purpose, the
// time in which it was runnable and did not run, taken out of the segments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"

namespace glassbox::delays {

enum class Starved : std::uint8_t { kNobody, kNetwork, kVcpu };

struct Expectation {
  std::string holder;   // segment id, or kRunnable for the starved thread
  std::string verdict;  // the one that must be confirmed
  Starved starved = Starved::kNobody;
};
inline constexpr std::string_view kRunnable = "runnable";

enum class Decision : std::uint8_t { kHolds, kFails, kUndecided };

struct Judgement {
  Decision decision = Decision::kUndecided;
  std::string text;  // the figures, one line for each place that matters
};

struct MedianInterval {
  std::int64_t median_ns = 0, low_ns = 0, high_ns = 0;
};
[[nodiscard]] MedianInterval median_of(std::vector<std::int64_t> values_ns);

// The time of each place in each cycle; the last place is "unattributed".
struct Places {
  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> by_cycle;
};
[[nodiscard]] Places places_of(const trace::Attribution& cycles, const trace::CycleStates& states,
                               Starved starved);

// `delay_ns` has the delay that was measured where it was made, for each cycle, delayed or not.
[[nodiscard]] Judgement judge_places(const Places& places, const std::vector<std::int64_t>& delay_ns,
                                     const std::string& holder, std::int64_t clock_bound_ns);

// Holds if the trace confirms this verdict and no other.
[[nodiscard]] Judgement judge_verdicts(const trace::Trace& trace, const std::string& verdict);

}  // namespace glassbox::delays
