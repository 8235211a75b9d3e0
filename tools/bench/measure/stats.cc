#include "tools/bench/measure/stats.h"

#include <algorithm>
#include <cmath>

namespace glassbox::bench {
namespace {

constexpr double kMedianConfidence = 0.95;
constexpr double kTail = 0.99;
constexpr double kSamplesBeyond = 10;

// P(X = k) for X ~ Binomial(n, 1/2), in logarithms so that n in the ten thousands does not underflow.
double binomial_half(std::size_t n, std::size_t k) {
  const double nd = static_cast<double>(n);
  const double kd = static_cast<double>(k);
  return std::exp(std::lgamma(nd + 1) - std::lgamma(kd + 1) - std::lgamma(nd - kd + 1) - nd * std::log(2.0));
}

std::optional<std::uint64_t> stated(std::span<const std::uint64_t> sorted, double p) {
  if (sorted.size() < samples_needed(p)) return std::nullopt;
  return percentile(sorted, p);
}

}  // namespace

std::optional<std::uint64_t> percentile(std::span<const std::uint64_t> sorted, double p) {
  if (sorted.empty()) return std::nullopt;
  // The small slack keeps 0.9 * 10, which is 9.000000000000002 in some orders of evaluation, at rank 9.
  const double rank = std::ceil(p * static_cast<double>(sorted.size()) - 1e-9);
  const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
  return sorted[std::min(index, sorted.size() - 1)];
}

std::size_t samples_needed(double p) {
  if (p < kTail) return 1;
  return static_cast<std::size_t>(std::llround(kSamplesBeyond / (1 - p)));
}

std::optional<Interval> median_interval(std::span<const std::uint64_t> sorted, double confidence) {
  // [X(r), X(n + 1 - r)] misses the median exactly when fewer than r samples lie on one side of it.
  const std::size_t n = sorted.size();
  double tail = 0;
  std::size_t best_rank = 0;
  double best_confidence = 0;
  for (std::size_t r = 1; 2 * r <= n; ++r) {
    tail += binomial_half(n, r - 1);
    const double covered = 1 - 2 * tail;
    if (covered < confidence) break;
    best_rank = r;
    best_confidence = covered;
  }
  if (best_rank == 0) return std::nullopt;
  return Interval{sorted[best_rank - 1], sorted[n - best_rank], best_confidence};
}

std::optional<MedianDifference> median_difference(std::vector<std::uint64_t> a_ns,
                                                  std::vector<std::uint64_t> b_ns) {
  constexpr double kEach = 1 - (1 - kMedianConfidence) / 2;  // Bonferroni
  std::sort(a_ns.begin(), a_ns.end());
  std::sort(b_ns.begin(), b_ns.end());
  const auto a = median_interval(a_ns, kEach), b = median_interval(b_ns, kEach);
  if (!a || !b) return std::nullopt;
  const auto less = [](std::uint64_t x, std::uint64_t y) { return static_cast<std::int64_t>(x - y); };
  return MedianDifference{less(*percentile(a_ns, 0.5), *percentile(b_ns, 0.5)), less(a->low_ns, b->high_ns),
                          less(a->high_ns, b->low_ns), a->confidence + b->confidence - 1};
}

Summary summarize(std::vector<std::uint64_t> samples_ns) {
  std::sort(samples_ns.begin(), samples_ns.end());
  Summary summary;
  summary.n = samples_ns.size();
  if (samples_ns.empty()) return summary;
  summary.min_ns = samples_ns.front();
  summary.max_ns = samples_ns.back();
  summary.p50_ns = stated(samples_ns, 0.50);
  summary.p90_ns = stated(samples_ns, 0.90);
  summary.p99_ns = stated(samples_ns, 0.99);
  summary.p999_ns = stated(samples_ns, 0.999);
  summary.median_interval = median_interval(samples_ns, kMedianConfidence);
  return summary;
}

}  // namespace glassbox::bench
