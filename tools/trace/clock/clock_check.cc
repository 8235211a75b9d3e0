#include "tools/trace/clock/clock_check.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "bpf/event_args.h"
#include "tools/trace/file/records.h"

namespace glassbox::trace {
namespace {

// Keeps an offset that a hostile guest's counters produce within 64 bits.
constexpr long double kLimitNs = 1e18L;

struct Reading {
  const gb_event* host = nullptr;
  ClockInterval causal;
  std::optional<std::int64_t> by_tsc;  // the offset of the clocks that KVM's TSC offset implies
  [[nodiscard]] const gb_args_clock_reading& kvm() const { return args::clock_reading(*host); }
  [[nodiscard]] std::int64_t at() const { return static_cast<std::int64_t>(host->ts_ns); }
};

std::optional<std::int64_t> offset_by_tsc(const gb_event& host_event, const gb_event& guest_event) {
  const auto& host = args::clock_reading(host_event);
  const auto& guest = args::guest_clock_reading(guest_event);
  const std::uint64_t before = guest.before_ns, after = guest.after_ns;
  const std::uint64_t ticks = guest.tsc_after - guest.tsc_before;
  if (after < before || after >= kMaxTimeNs || ticks == 0 || ticks > INT64_MAX) return {};
  const auto since = static_cast<std::int64_t>(host.host_tsc + host.tsc_offset - guest.tsc_before);
  const long double ns = static_cast<long double>(since) * static_cast<long double>(after - before) /
                         static_cast<long double>(ticks);
  const long double offset =
      static_cast<long double>(before) + ns - static_cast<long double>(host_event.ts_ns);
  return static_cast<std::int64_t>(std::clamp(offset, -kLimitNs, kLimitNs));
}

std::vector<Reading> collect(const Trace& trace, const ClockHull& hull) {
  std::unordered_map<std::uint64_t, const gb_event*> host;  // by number
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_reading) host.emplace(args::clock_reading(e).reading, &e);
  std::vector<Reading> readings;
  for (const gb_event& e : trace.guest.events) {
    if (e.kind != GB_KIND_guest_clock_reading) continue;
    const auto found = host.find(args::guest_clock_reading(e).reading);
    if (found == host.end()) continue;
    Reading r{found->second, hull.at(static_cast<std::int64_t>(found->second->ts_ns)), {}};
    host.erase(found);  // a number counts once
    if (r.causal.empty()) continue;
    if (r.kvm().offset_error == 0) r.by_tsc = offset_by_tsc(*r.host, e);
    readings.push_back(r);
  }
  std::sort(readings.begin(), readings.end(),
            [](const Reading& a, const Reading& b) { return a.host->ts_ns < b.host->ts_ns; });
  return readings;
}

std::int64_t distance(std::int64_t value, const ClockInterval& interval) {
  return std::max<std::int64_t>({0, interval.lo_ns - value, value - interval.hi_ns});
}

void check_offset(const std::vector<Reading>& readings, ClockCheck& check) {
  std::vector<const Reading*> usable;
  for (const Reading& r : readings) {
    if (!r.by_tsc) continue;
    usable.push_back(&r);
    check.inside += distance(*r.by_tsc, r.causal) == 0 ? 1 : 0;
  }
  check.readings = usable.size();
  if (usable.empty()) {
    const auto error = static_cast<int>(readings.front().kvm().offset_error);
    check.why = error != 0 ? fmt::format("KVM_VCPU_TSC_OFFSET: {}", ::strerror(error))
                           : std::string("no plausible reading of the guest's counter");
    return;
  }
  const auto middle = usable.begin() + static_cast<std::ptrdiff_t>(usable.size() / 2);
  std::nth_element(usable.begin(), middle, usable.end(), [](const Reading* a, const Reading* b) {
    return *a->by_tsc - a->causal.mid_ns() < *b->by_tsc - b->causal.mid_ns();
  });
  const Reading& r = **middle;
  check.causal_ns = r.causal.mid_ns();
  check.half_width_ns = r.causal.half_width_ns();
  check.kvm_ns = r.by_tsc;
  check.difference_ns = *r.by_tsc - r.causal.mid_ns();
  check.outside_ns = distance(*r.by_tsc, r.causal);
  check.agreement = check.outside_ns == 0 ? ClockAgreement::kAgrees : ClockAgreement::kDisagrees;
}

// KVM's clock minus the guest's clock by causality, at the host's stamp; and the uncertainty of the latter.
struct Distance {
  std::int64_t ns = 0, half_width_ns = 0;
};
Distance median_distance(std::vector<const Reading*> readings) {
  const auto of = [](const Reading* r) {
    return static_cast<std::int64_t>(r->kvm().clock_ns) - r->at() - r->causal.mid_ns();
  };
  const auto middle = readings.begin() + static_cast<std::ptrdiff_t>(readings.size() / 2);
  std::nth_element(readings.begin(), middle, readings.end(),
                   [&of](const Reading* a, const Reading* b) { return of(a) < of(b); });
  return {of(*middle), (*middle)->causal.half_width_ns()};
}

void check_clock(const std::vector<Reading>& readings, ClockCheck& check) {
  std::vector<const Reading*> usable;
  for (const Reading& r : readings)
    if (r.kvm().clock_error == 0 && r.kvm().clock_ns < kMaxTimeNs) usable.push_back(&r);
  check.readings = usable.size();
  if (usable.empty()) {
    check.why =
        fmt::format("KVM_GET_CLOCK: {}", ::strerror(static_cast<int>(readings.front().kvm().clock_error)));
    return;
  }
  check.flags = static_cast<std::int64_t>(usable.front()->kvm().clock_flags & 0xffff'ffff);
  if (usable.size() < 2) {
    check.why = "one reading cannot show whether two clocks move apart";
    return;
  }
  const auto quarter = static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, usable.size() / 4));
  const Distance first = median_distance({usable.begin(), usable.begin() + quarter});
  const Distance last = median_distance({usable.end() - quarter, usable.end()});
  check.causal_ns = 0;
  check.kvm_ns = check.difference_ns = last.ns - first.ns;
  check.half_width_ns = first.half_width_ns + last.half_width_ns;
  check.outside_ns = std::max<std::int64_t>(0, std::abs(*check.difference_ns) - *check.half_width_ns);
  check.inside = usable.size();
  check.agreement = check.outside_ns == 0 ? ClockAgreement::kAgrees : ClockAgreement::kDisagrees;
}

}  // namespace

std::string_view name_of(ClockAgreement agreement) {
  switch (agreement) {
    case ClockAgreement::kAgrees:
      return "agrees";
    case ClockAgreement::kDisagrees:
      return "disagrees";
    case ClockAgreement::kNotOffered:
      break;
  }
  return "not offered";
}

ClockChecks check_clocks(const Trace& trace, const ClockHull* hull) {
  ClockChecks checks;
  checks.tsc_offset.id = "tsc_offset";
  checks.kvm_clock.id = "kvm_clock";
  const auto missing = [&checks](std::string why) {
    checks.tsc_offset.why = checks.kvm_clock.why = std::move(why);
    return checks;
  };
  if (trace.guest.events.empty()) return missing("no guest in the trace");
  if (hull == nullptr) return missing("the trace has no causal offset to compare with");
  const std::vector<Reading> readings = collect(trace, *hull);
  if (readings.empty()) return missing("no reading of KVM's clocks in the trace");
  check_offset(readings, checks.tsc_offset);
  check_clock(readings, checks.kvm_clock);
  return checks;
}

}  // namespace glassbox::trace
