// One clock for two kernels, with a bound that is proved, not fitted.
//
// Theory of operation. theta(t) is the guest's CLOCK_MONOTONIC minus the host's, at host time t. All
// knowledge of it comes from causality:
//   exchange   the guest reads Ga, exits (the host stamps H), reads Gb:       Ga - H <= theta(H) <= Gb - H
//   transmit   the guest sends a frame at G before the host takes it at H:    G - H <= theta(H)
//   receive    the host publishes a frame at H before the guest gets it at G: theta(H) <= G - H
// Each is a constraint at one host time, open on one side or bounded on both. theta drifts by at most rho, so
// a constraint of time t0 holds at t after widening by rho * |t - t0|. The hull at t is the intersection of
// all:
//   lo(t) = max_i (lo_i - rho |t - t_i|)      hi(t) = min_i (hi_i + rho |t - t_i|)
// Two prefix maxima (of lo_i + rho t_i forward, of lo_i - rho t_i backward) yield it for any t by one binary
// search. Arithmetic is exact (128 bit, scaled by 10^6); lo is rounded down and hi up.
//
// An empty intersection means that two constraints contradict each other: the trace, or rho, is wrong. If it
// is empty anywhere, it is empty at the time of some constraint, because between i and j the excess lo_i -
// hi_j - rho |t_i - t_j| is constant. So checking the times of the constraints finds every contradiction.
//
// The midpoint of the hull is continuous with a slope of at most rho < 1, so t -> t + theta(t) is invertible
// and keeps the order of guest events. Each causal pair is a constraint, so the midpoint never reverses one.
//
// Pure and immutable after construction: any thread may read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace glassbox::trace {

// The assumed bound rho on the drift, in parts per million. Reports print it.
inline constexpr std::int64_t kDriftPpm = 600;

// What causality says about theta at host time at_ns. Either side may be open.
struct ClockConstraint {
  enum class Source : std::uint8_t { kExchange, kTransmit, kReceive };
  std::int64_t at_ns = 0;  // host time
  std::optional<std::int64_t> lo_ns;
  std::optional<std::int64_t> hi_ns;
  Source source = Source::kExchange;
  std::uint64_t id = 0;    // exchange number, or TCP sequence number of the frame
  std::uint16_t vcpu = 0;  // the vCPU that read the guest's clock
};

struct ClockInterval {
  std::int64_t lo_ns = 0;
  std::int64_t hi_ns = 0;
  [[nodiscard]] std::int64_t mid_ns() const { return lo_ns + (hi_ns - lo_ns) / 2; }
  [[nodiscard]] std::int64_t half_width_ns() const { return (hi_ns - lo_ns + 1) / 2; }
  [[nodiscard]] bool empty() const { return lo_ns > hi_ns; }
};

class ClockHull {
 public:
  explicit ClockHull(std::vector<ClockConstraint> constraints, std::int64_t drift_ppm = kDriftPpm);

  // True if theta is bounded from both sides; one exchange is enough. Otherwise do not call at(), to_host()
  // or to_guest().
  [[nodiscard]] bool known() const { return known_; }
  // The interval that holds theta at host_ns.
  [[nodiscard]] ClockInterval at(std::int64_t host_ns) const;
  // The host time at which the guest's clock showed guest_ns, by the midpoint of the hull.
  [[nodiscard]] std::int64_t to_host(std::int64_t guest_ns) const;

  // The inverse: what the guest's clock showed at host time host_ns.
  [[nodiscard]] std::int64_t to_guest(std::int64_t host_ns) const { return host_ns + at(host_ns).mid_ns(); }

  struct Violation {
    ClockConstraint lower, upper;  // lower.lo_ns exceeds upper.hi_ns by excess_ns more than drift explains
    std::int64_t excess_ns = 0;
    [[nodiscard]] std::string describe() const;
  };
  // How many constraints have an empty intersection at their time, and the pair with the largest excess.
  [[nodiscard]] std::size_t violations() const { return violations_; }
  [[nodiscard]] const std::optional<Violation>& worst_violation() const { return worst_; }

  [[nodiscard]] const std::vector<ClockConstraint>& constraints() const { return constraints_; }
  [[nodiscard]] std::int64_t drift_ppm() const { return drift_ppm_; }

 private:
  __extension__ using Wide = __int128;
  struct Best {  // a prefix extremum and the constraint that gave it
    Wide value;
    std::size_t index;
  };
  struct Bounds {
    Wide lo, hi;  // scaled by 10^6
    std::size_t lo_index, hi_index;
  };
  [[nodiscard]] Bounds scaled_at(std::int64_t host_ns) const;
  void find_violations();

  std::vector<ClockConstraint> constraints_;  // by time
  std::int64_t drift_ppm_;
  std::vector<Best> lo_forward_, lo_backward_, hi_forward_, hi_backward_;
  bool known_ = false;
  std::size_t violations_ = 0;
  std::optional<Violation> worst_;
};

}  // namespace glassbox::trace
