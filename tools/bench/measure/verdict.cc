#include "tools/bench/measure/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace glassbox::bench {
namespace {

constexpr std::size_t kExact = 20;
constexpr std::uint32_t kDraws = 100'000;
// Sums that are equal in arithmetic may differ in the last bits by the order of their terms.
constexpr double kSlack = 1e-12;

std::optional<double> median_of(std::vector<std::uint64_t> samples) {
  std::sort(samples.begin(), samples.end());
  const auto median = percentile(samples, 0.5);
  if (!median || *median == 0) return std::nullopt;
  return static_cast<double>(*median);
}

}  // namespace

std::vector<std::uint64_t> pooled(const Rounds& rounds) {
  std::vector<std::uint64_t> all;
  for (const auto& round : rounds)
    all.insert(all.end(), round.begin(), round.end());
  return all;
}

double sign_flip_p(std::span<const double> values) {
  if (values.empty()) return 1;
  double observed = 0;
  for (const double value : values)
    observed += value;
  const double bound = std::abs(observed) - kSlack;
  const auto extreme = [&](auto sign_of) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      sum += sign_of(i) ? values[i] : -values[i];
    return std::abs(sum) >= bound;
  };
  std::uint64_t hits = 0;
  if (values.size() <= kExact) {
    const std::uint64_t all = std::uint64_t{1} << values.size();
    for (std::uint64_t signs = 0; signs < all; ++signs)
      hits += extreme([&](std::size_t i) { return (signs >> i & 1) != 0; }) ? 1 : 0;
    return static_cast<double>(hits) / static_cast<double>(all);
  }
  std::mt19937_64 random(1);
  for (std::uint32_t draw = 0; draw < kDraws; ++draw)
    hits += extreme([&](std::size_t) { return (random() & 1) != 0; }) ? 1 : 0;
  return static_cast<double>(hits + 1) / static_cast<double>(kDraws + 1);
}

std::optional<Comparison> compare(const Rounds& one, const Rounds& base) {
  const Summary mine = summarize(pooled(one));
  const Summary theirs = summarize(pooled(base));
  if (mine.n == 0 || theirs.n == 0 || *theirs.p50_ns == 0) return std::nullopt;
  Comparison result;
  result.ratio = static_cast<double>(*mine.p50_ns) / static_cast<double>(*theirs.p50_ns);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(one.size(), base.size()); ++i) {
    const auto a = median_of(one[i]);
    const auto b = median_of(base[i]);
    if (a && b) ratios.push_back(std::log(*a / *b));
  }
  result.rounds = static_cast<std::uint32_t>(ratios.size());
  result.p = sign_flip_p(ratios);
  if (mine.median_interval && theirs.median_interval) {
    result.overlap = mine.median_interval->low_ns <= theirs.median_interval->high_ns &&
                     theirs.median_interval->low_ns <= mine.median_interval->high_ns;
  }
  result.different = result.p < kSignificance && !result.overlap;
  return result;
}

std::string describe(const Comparison& comparison) {
  if (comparison.different) return fmt::format("{:.2f}x (p {:.4f})", comparison.ratio, comparison.p);
  if (comparison.rounds < kRoundsForVerdict) return fmt::format("{:.2f}x (too few rounds)", comparison.ratio);
  return fmt::format("{:.2f}x (not told apart, p {:.2f})", comparison.ratio, comparison.p);
}

}  // namespace glassbox::bench
