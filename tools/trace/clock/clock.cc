#include "tools/trace/clock/clock.h"

#include <fmt/format.h>

#include <algorithm>

namespace glassbox::trace {
namespace {

constexpr std::int64_t kScale = 1'000'000;  // drift is in parts per million

template <typename T>
T floor_div(T a, T b) {
  const T q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

}  // namespace

ClockHull::ClockHull(std::vector<ClockConstraint> constraints, std::int64_t drift_ppm)
    : constraints_(std::move(constraints)), drift_ppm_(drift_ppm) {
  std::stable_sort(constraints_.begin(), constraints_.end(),
                   [](const auto& a, const auto& b) { return a.at_ns < b.at_ns; });
  const std::size_t n = constraints_.size();
  // Beyond any real value, and small enough to add to without overflow of 128 bits.
  const Wide infinity = static_cast<Wide>(1) << 120;
  lo_forward_.resize(n), lo_backward_.resize(n), hi_forward_.resize(n), hi_backward_.resize(n);
  bool any_lo = false, any_hi = false;
  const auto scaled = [&](const std::optional<std::int64_t>& v, Wide open, Wide slope) {
    return v ? static_cast<Wide>(*v) * kScale + slope : open;
  };
  for (std::size_t k = 0; k < n; ++k) {
    const ClockConstraint& c = constraints_[k];
    any_lo |= c.lo_ns.has_value();
    any_hi |= c.hi_ns.has_value();
    const Wide drift = static_cast<Wide>(c.at_ns) * drift_ppm_;
    lo_forward_[k] = {scaled(c.lo_ns, -infinity, drift), k};
    hi_forward_[k] = {scaled(c.hi_ns, infinity, -drift), k};
    if (k > 0) {
      if (lo_forward_[k - 1].value > lo_forward_[k].value) lo_forward_[k] = lo_forward_[k - 1];
      if (hi_forward_[k - 1].value < hi_forward_[k].value) hi_forward_[k] = hi_forward_[k - 1];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    const ClockConstraint& c = constraints_[k];
    const Wide drift = static_cast<Wide>(c.at_ns) * drift_ppm_;
    lo_backward_[k] = {scaled(c.lo_ns, -infinity, -drift), k};
    hi_backward_[k] = {scaled(c.hi_ns, infinity, drift), k};
    if (k + 1 < n) {
      if (lo_backward_[k + 1].value > lo_backward_[k].value) lo_backward_[k] = lo_backward_[k + 1];
      if (hi_backward_[k + 1].value < hi_backward_[k].value) hi_backward_[k] = hi_backward_[k + 1];
    }
  }
  known_ = any_lo && any_hi;
  if (known_) find_violations();
}

ClockHull::Bounds ClockHull::scaled_at(std::int64_t host_ns) const {
  const auto after = std::upper_bound(constraints_.begin(), constraints_.end(), host_ns,
                                      [](std::int64_t t, const ClockConstraint& c) { return t < c.at_ns; });
  const auto next = static_cast<std::size_t>(after - constraints_.begin());
  const Wide drift = static_cast<Wide>(host_ns) * drift_ppm_;
  const Wide infinity = static_cast<Wide>(1) << 121;
  Bounds b{-infinity, infinity, 0, 0};
  const auto raise = [&b](const Best& best, Wide value) {
    if (value > b.lo) b.lo = value, b.lo_index = best.index;
  };
  const auto lower = [&b](const Best& best, Wide value) {
    if (value < b.hi) b.hi = value, b.hi_index = best.index;
  };
  if (next > 0) {
    raise(lo_forward_[next - 1], lo_forward_[next - 1].value - drift);
    lower(hi_forward_[next - 1], hi_forward_[next - 1].value + drift);
  }
  if (next < constraints_.size()) {
    raise(lo_backward_[next], lo_backward_[next].value + drift);
    lower(hi_backward_[next], hi_backward_[next].value - drift);
  }
  return b;
}

ClockInterval ClockHull::at(std::int64_t host_ns) const {
  const Bounds b = scaled_at(host_ns);
  const Wide scale = kScale;
  return {static_cast<std::int64_t>(floor_div(b.lo, scale)),
          static_cast<std::int64_t>(-floor_div(-b.hi, scale))};
}

std::int64_t ClockHull::to_host(std::int64_t guest_ns) const {
  // Fixed-point iteration: each step multiplies the error by rho, so three steps are exact to the nanosecond
  // for a first guess within hours.
  std::int64_t host_ns = guest_ns - at(constraints_.front().at_ns).mid_ns();
  for (int step = 0; step < 4; ++step)
    host_ns = guest_ns - at(host_ns).mid_ns();
  return host_ns;
}

void ClockHull::find_violations() {
  for (const ClockConstraint& c : constraints_) {
    const Bounds b = scaled_at(c.at_ns);
    if (b.lo <= b.hi) continue;
    ++violations_;
    const auto excess = static_cast<std::int64_t>(floor_div(b.lo - b.hi, static_cast<Wide>(kScale)));
    if (!worst_ || excess > worst_->excess_ns)
      worst_ = Violation{constraints_[b.lo_index], constraints_[b.hi_index], excess};
  }
}

std::string ClockHull::Violation::describe() const {
  const auto name = [](const ClockConstraint& c) {
    switch (c.source) {
      case ClockConstraint::Source::kExchange:
        return fmt::format("exchange {} on vCPU {} at host {} ns", c.id, c.vcpu, c.at_ns);
      case ClockConstraint::Source::kTransmit:
        return fmt::format("frame from the guest (seq {}, vCPU {}) at host {} ns", c.id, c.vcpu, c.at_ns);
      case ClockConstraint::Source::kReceive:
        break;
    }
    return fmt::format("frame to the guest (seq {}, vCPU {}) at host {} ns", c.id, c.vcpu, c.at_ns);
  };
  return fmt::format("{} and {} contradict each other by {} ns", name(lower), name(upper), excess_ns);
}

}  // namespace glassbox::trace
