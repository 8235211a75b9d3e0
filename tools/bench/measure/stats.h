// Order statistics of a benchmark's samples, and the rules about what may be stated at all.
//
// A percentile is the nearest-rank one: the smallest sample that at least p of all samples do not exceed. It
// is always a sample that was measured, never an interpolation (tools/trace/report/report.h has the same
// definition). One from the tail needs ten samples beyond it before it is stated: p99 from 1,000, p99.9 from
// 10,000; what may not be stated is an empty optional.
//
// Pure: no I/O, no clock. Times are nanoseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace glassbox::bench {

// A confidence interval whose ends are samples.
struct Interval {
  std::uint64_t low_ns = 0;
  std::uint64_t high_ns = 0;
  double confidence = 0;  // the exact coverage, at least what was asked for
};

struct Summary {
  std::size_t n = 0;
  std::optional<std::uint64_t> min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
  std::optional<Interval> median_interval;
};

// The nearest-rank percentile of ascending samples; p in (0, 1]. Empty if there are no samples.
[[nodiscard]] std::optional<std::uint64_t> percentile(std::span<const std::uint64_t> sorted, double p);

// Samples below which a percentile is not stated.
[[nodiscard]] std::size_t samples_needed(double p);

// Distribution-free interval of the median: the narrowest symmetric pair of order statistics that covers it
// with at least `confidence`, by the binomial distribution. Empty where even minimum and maximum do not reach
// it (n < 6 at 0.95). Assumes independent samples.
[[nodiscard]] std::optional<Interval> median_interval(std::span<const std::uint64_t> sorted,
                                                      double confidence);

// Of two medians, a less b. The interval is made of an interval of each median, so that both hold at once
// with at least 95 %; empty where either has none (n < 7).
struct MedianDifference {
  std::int64_t difference_ns = 0;
  std::int64_t low_ns = 0, high_ns = 0;
  double confidence = 0;
};
[[nodiscard]] std::optional<MedianDifference> median_difference(std::vector<std::uint64_t> a_ns,
                                                                std::vector<std::uint64_t> b_ns);

[[nodiscard]] Summary summarize(std::vector<std::uint64_t> samples_ns);

}  // namespace glassbox::bench
