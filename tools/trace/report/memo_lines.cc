#include "tools/trace/report/memo_lines.h"

#include <fmt/format.h>
#include <linux/kvm.h>

#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

std::string agreement_text(const ClockCheck& check) {
  if (check.agreement == ClockAgreement::kAgrees) return "agrees";
  return "disagrees by " + format_time(check.outside_ns);
}

std::string format_comparison(const ProbeTax& tax) {
  if (!tax.compared) return fmt::format("tracing's cost by comparison: {}\n", kNotCompared);
  const ProbeTax::Comparison& c = *tax.compared;
  std::string text = fmt::format(
      "tracing's cost by comparison (client's own clock): traced p50 {} (n {}), untraced p50 {} (n {})",
      format_time(c.traced_p50_ns), c.traced_n, format_time(c.untraced_p50_ns), c.untraced_n);
  if (!c.difference_ns) return text + ": too few cycles for an interval\n";
  return text + fmt::format(": {} ({} to {}, {:.0f} %)\n", format_signed_time(*c.difference_ns),
                            format_signed_time(*c.low_ns), format_signed_time(*c.high_ns),
                            c.confidence * 100);
}

}  // namespace

std::string format_checks(const ClockChecks& checks) {
  const ClockCheck& tsc = checks.tsc_offset;
  const ClockCheck& clock = checks.kvm_clock;
  if (tsc.why == clock.why && !tsc.why.empty()) return "clock check: none, " + tsc.why + "\n";
  std::string text = "clock check: offset by causality and by KVM's TSC offset: ";
  if (tsc.agreement == ClockAgreement::kNotOffered)
    text += "not offered by this KVM (" + tsc.why + ")";
  else
    text += fmt::format("{} ns +-{}, {} ns ({}): {}, {} of {} readings inside", *tsc.causal_ns,
                        format_time(tsc.half_width_ns), *tsc.kvm_ns, format_signed_time(*tsc.difference_ns),
                        agreement_text(tsc), tsc.inside, tsc.readings);
  text += "\nclock check: KVM's clock and the guest's moved apart: ";
  if (clock.agreement == ClockAgreement::kNotOffered)
    return text + "not offered by this KVM (" + clock.why + ")\n";
  return text +
         fmt::format("by {} of {} that the bound leaves open: {}{}\n",
                     format_signed_time(*clock.difference_ns), format_time(clock.half_width_ns),
                     agreement_text(clock),
                     (*clock.flags & KVM_CLOCK_TSC_STABLE) != 0 ? "" : " (KVM does not call it stable)");
}

std::string format_tax(const ProbeTax& tax) {
  std::string text =
      fmt::format("probes' tax (inside the rows): {:.1f} USDT hits a cycle", tax.hits_per_cycle);
  if (!tax.hit_ns) return text + ", cost of a hit not measured in this trace\n" + format_comparison(tax);
  text += fmt::format(" x {} = {}", format_time(tax.hit_ns),
                      format_time(static_cast<std::int64_t>(*tax.ns_per_cycle)));
  if (tax.share) text += fmt::format(", {:.1f} % of a cycle", *tax.share * 100);
  return text + "; kernel events and the guest's probes are not in it\n" + format_comparison(tax);
}

}  // namespace glassbox::trace
