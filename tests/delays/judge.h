// Judges whether a report attributes a known delay to the place where it was made. Pure.
//
// Theory of operation. Cycles come in pairs of neighbours, the first undelayed, the second delayed. The time
// of a place is compared within each pair: slow changes of the machine affect both cycles alike, and a
// disturbance spoils one pair only. The median of the differences stands for the place; its interval (order
// statistics, at least 99 %) says how certain it is. The interval lies inside the allowed range, outside, or
// across an edge; in the last case more pairs are needed.
//
// A place is a segment of the report or "unattributed". Where a case keeps a thread from running, the time in
// which that thread was runnable without a CPU is a place too, and is taken out of the segments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"

namespace glassbox::delays {

// The thread that the case keeps from running.
enum class Starved : std::uint8_t { kNone, kNetwork, kVcpu };

struct Expectation {
  std::string holder;   // the place of the delay: a segment id, or kRunnable for the starved thread
  std::string verdict;  // id of the only verdict that must be confirmed
  Starved starved = Starved::kNone;
};
inline constexpr std::string_view kRunnable = "runnable";

enum class Decision : std::uint8_t { kHolds, kFails, kUndecided };

struct Judgement {
  Decision decision = Decision::kUndecided;
  std::string text;  // the figures, a line for each place that matters
};

struct MedianInterval {
  std::int64_t median_ns = 0, low_ns = 0, high_ns = 0;
};
// INT64_MIN and INT64_MAX where there are too few values for an interval.
[[nodiscard]] MedianInterval median_of(std::vector<std::int64_t> values_ns);

// The time of each place in each cycle; the last place is "unattributed".
struct Places {
  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> by_cycle;
};
[[nodiscard]] Places places_of(const trace::Attribution& cycles, const trace::CycleStates& states,
                               Starved starved);

// `delay_ns` is the measured delay of each cycle, undelayed ones included. `clock_bound_ns` is added to the
// range allowed for the holder.
[[nodiscard]] Judgement judge_places(const Places& places, const std::vector<std::int64_t>& delay_ns,
                                     const std::string& holder, std::int64_t clock_bound_ns);

// Holds if `verdict` is confirmed on the whole trace and no other verdict is.
[[nodiscard]] Judgement judge_verdicts(const trace::Trace& trace, const std::string& verdict);

}  // namespace glassbox::delays
