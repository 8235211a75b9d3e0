// One row of the report's table: what a segment took over all cycles, as percentiles and as a share.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

// A p99 is stated from this many cycles on: ten of them then lie beyond it.
inline constexpr std::size_t kCyclesForP99 = 1000;

// Nearest-rank percentiles: each is a value that was measured. Empty where there are too few values.
struct Percentiles {
  std::optional<std::int64_t> p50_ns, p90_ns, p99_ns;
};
[[nodiscard]] Percentiles percentiles(std::vector<std::int64_t> values_ns);

struct SegmentRow {
  Segment segment{};
  bool applies = false;         // the segment belongs to the path of this workload
  bool seen = false;            // the events at its boundaries were recorded; if not, there are no figures
  Percentiles percentiles;      // over the cycles in which it was seen
  std::optional<double> share;  // of the time of all cycles
  std::int64_t bound_ns = 0;    // cross rows: the clocks' uncertainty, the largest of all cycles
  // What the thread that acts in the segment did meanwhile: mean over the cycles in which it was seen. Empty
  // without scheduling events of that thread.
  std::optional<StateSplit> mean_states_ns;
};

// The row of `segment`, without mean_states_ns. `total_ns` is the time of all cycles.
[[nodiscard]] SegmentRow make_row(const Attribution& cycles, Segment segment, double total_ns);

}  // namespace glassbox::trace
