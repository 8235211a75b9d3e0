// The table: rows of segments, then losses, hooks, notes and verdicts.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/trace/report/memo_lines.h"
#include "tools/trace/report/report.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

// One row. The column p99 is there only if some row has a p99.
std::string line(std::string_view side, std::string_view label, const Percentiles& p, std::string_view share,
                 bool p99) {
  std::string text = fmt::format("{:<7} {:<{}} {:>9} {:>9}", side, label, kLabelWidth, format_time(p.p50_ns),
                                 format_time(p.p90_ns));
  if (p99) text += fmt::format(" {:>9}", format_time(p.p99_ns));
  return text + fmt::format(" {:>9}\n", share);
}

// The check of each vCPU's constraints alone; printed if there are several vCPUs, or if one contradicts
// itself.
std::string vcpu_text(const Report& r) {
  std::size_t violations = 0;
  for (const VcpuClock& c : r.vcpu_clocks)
    violations += c.violations;
  if (r.vcpu_clocks.size() < 2 && violations == 0) return {};
  return fmt::format("; each vCPU by itself: {} violations", violations);
}

std::string clock_line(const Report& r) {
  std::string clock =
      r.clock_bound_ns
          ? fmt::format("guest-host offset known to +-{} ({} exchanges, {} frames, {} violations{})",
                        format_time(r.clock_bound_ns), r.exchanges, r.frames, r.violations, vcpu_text(r))
          : std::string("not aligned (no guest events or no exchange)");
  return fmt::format("clock: {} · dropped events: host {}, guest {}\n", clock, r.drops_host, r.drops_guest);
}

// "hooks in the host: 24 usdt, 4 tp_btf; missing: kvm_exit". A hook is recorded as "name how remark".
std::string hooks_text(std::string_view side, const std::vector<bpf::Hook>& hooks) {
  if (hooks.empty()) return {};
  std::map<std::string, int> count;
  std::string missing;
  for (const bpf::Hook& hook : hooks) {
    if (!hook.attached)
      missing += (missing.empty() ? "" : ", ") + hook.name;
    else
      ++count[hook.how.empty() ? "attached" : hook.how];
  }
  std::string text;
  for (const auto& [how, n] : count)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, how);
  if (!missing.empty()) text += "; missing: " + missing;
  return fmt::format("hooks in the {}: {}\n", side, printable(text));
}

// The client's own times, if the bench added them to the trace, for comparison with the total.
std::string client_line(const Report& r, bool p99) {
  if (!r.client.is_object()) return {};
  const auto us = [&r](const char* key) -> std::optional<std::int64_t> {
    const auto it = r.client.find(key);
    if (it == r.client.end() || !it->is_number()) return {};
    return whole_ns(it->get<double>() * 1e3);
  };
  return line("", "total by the client's own clock", {us("p50_us"), us("p90_us"), us("p99_us")}, "", p99);
}

std::string closing_lines(const Report& r) {
  std::string text =
      fmt::format("cycles: {} complete, {} incomplete (not counted)", r.complete, r.incomplete);
  if (r.without_flow > 0) text += fmt::format(", {} not seen by the host", r.without_flow);
  text += "\nsegments of one cycle add up to its total exactly; percentiles of segments do not add up";
  if (r.clock_bound_ns)
    text += fmt::format("; cross rows are +-{} each at most", format_time(r.clock_bound_ns));
  text += "\n" + format_losses(r.losses_host, r.losses_guest) + hooks_text("host", r.hooks_host) +
          hooks_text("guest", r.hooks_guest);
  for (const std::string& note : r.notes)
    text += "note: " + printable(note) + "\n";
  if (r.violation) text += "clock violation: " + *r.violation + "\n";
  return text;
}

// Columns of fixed width, so that the outcomes line up.
std::string verdict_lines(const Report& r) {
  std::string text = "verdicts:\n";
  for (const Verdict& v : r.verdicts) {
    text += fmt::format("  {:<17} {:<51} {}\n", name_of(v.outcome), v.claim, printable(v.evidence));
    // The criterion follows every verdict that asks for action; the JSON has it for all.
    if (v.outcome != Outcome::kFalsified) text += fmt::format("  {:<17} criterion: {}\n", "", v.criterion);
  }
  return text;
}

std::string row_line(const SegmentRow& row, bool p99) {
  const SegmentInfo& info = segment_info(row.segment);
  if (!row.seen) return fmt::format("{:<7} {:<{}} not seen\n", name_of(info.side), info.label, kLabelWidth);
  const std::string share = format_share(row.share);
  return line(name_of(info.side), info.label, row.percentiles,
              row.bound_ns > 0 ? fmt::format("{:>9}  +-{}", share, format_time(row.bound_ns)) : share, p99);
}

std::string rows_text(const Report& r) {
  const bool p99 = r.total.p99_ns.has_value();
  std::string text = fmt::format("{:<{}} {:>9} {:>9}", "where a cycle goes", kLabelWidth + 8, "p50", "p90");
  text += fmt::format("{} {:>9}\n", p99 ? fmt::format(" {:>9}", "p99") : "", "share");
  for (const SegmentRow& row : r.segments)
    if (row.applies) text += row_line(row, p99);
  text += fmt::format("{:<{}} {:>{}}\n", "unattributed", kLabelWidth + 8, format_share(r.unattributed_share),
                      p99 ? 39 : 29);
  return text + line("total", "", r.total, "100 %", p99) + client_line(r, p99);
}

}  // namespace

std::string format_table(const Report& r) {
  std::string text = printable(r.title) + "\nmachine: " + describe_machine(r.machine) + "\n" + clock_line(r);
  if (r.clock_bound_ns) text += format_checks(r.clock_checks);
  if (r.complete > 0) text += rows_text(r) + format_tax(r.tax);
  return text + closing_lines(r) + (r.verdicts.empty() ? "" : verdict_lines(r));
}

}  // namespace glassbox::trace
