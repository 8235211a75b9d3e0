// Whether a trace puts a known delay where it was put.
//
// Theory of operation. Cycles come in pairs of neighbours, the first undelayed, the second delayed. What a
// place takes is compared within each pair: slow changes of the machine are the same on both sides, and a
// disturbance spoils one pair. The median of the pairs' differences stands for the place; its interval (order
// statistics, at least 99 %) says how sure that is. Three outcomes: the interval lies inside the allowed
// range, outside, or across its edge; the last means that more pairs are needed.
//
// A place is a segment of the report, "unattributed", or, where a thread is kept from running on purpose, the
// time in which it could run and did not, taken out of the segments.
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
  std::string verdict;  // the one that is to be confirmed
  Starved starved = Starved::kNobody;
};
inline constexpr std::string_view kRunnable = "runnable";

enum class Decision : std::uint8_t { kHolds, kFails, kUndecided };

struct Judgement {
  Decision decision = Decision::kUndecided;
  std::string text;  // the figures, a line a place that matters
};

struct MedianInterval {
  std::int64_t median_ns = 0, low_ns = 0, high_ns = 0;
};
[[nodiscard]] MedianInterval median_of(std::vector<std::int64_t> values_ns);

// What each place took in each cycle; the last is "unattributed".
struct Places {
  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> by_cycle;
};
[[nodiscard]] Places places_of(const trace::Attribution& cycles, const trace::CycleStates& states,
                               Starved starved);

// `delay_ns` has the delay that the injector measured in each cycle, delayed or not.
[[nodiscard]] Judgement judge_places(const Places& places, const std::vector<std::int64_t>& delay_ns,
                                     const std::string& holder, std::int64_t clock_bound_ns);

// The verdicts of the whole trace: that one confirmed, and no other.
[[nodiscard]] Judgement judge_verdicts(const trace::Trace& trace, const std::string& verdict);

}  // namespace glassbox::delays
