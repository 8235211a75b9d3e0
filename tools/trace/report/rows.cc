#include "tools/trace/report/rows.h"

#include <algorithm>

namespace glassbox::trace {

Percentiles percentiles(std::vector<std::int64_t> values) {
  Percentiles out;
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  const auto rank = [&values](std::size_t percent) {
    return values[std::max<std::size_t>(1, (values.size() * percent + 99) / 100) - 1];
  };
  out.p50_ns = rank(50);
  out.p90_ns = rank(90);
  if (values.size() >= kCyclesForP99) out.p99_ns = rank(99);
  return out;
}

SegmentRow make_row(const Attribution& a, Segment segment, double total_ns) {
  SegmentRow row;
  row.segment = segment;
  const auto k = static_cast<std::size_t>(segment);
  row.applies = a.applies[k];
  std::vector<std::int64_t> values;
  double sum = 0;
  for (const CycleResult& c : a.cycles) {
    if (!c.segment_seen[k]) continue;
    values.push_back(c.segment_ns[k]);
    sum += static_cast<double>(c.segment_ns[k]);
    for (const Step& step : c.path.steps)
      if (step.segment == segment) row.bound_ns = std::max(row.bound_ns, step.bound_ns);
  }
  row.seen = !values.empty();
  if (!row.seen) return row;
  row.percentiles = percentiles(std::move(values));
  if (total_ns > 0) row.share = sum / total_ns;
  return row;
}

}  // namespace glassbox::trace
