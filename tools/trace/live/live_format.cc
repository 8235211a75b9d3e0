// The three views of a live snapshot: a line, a page, a JSON object.
#include <fmt/format.h>

#include "tools/trace/live/live_window.h"
#include "tools/trace/report/json_values.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

json percentiles_json(const Percentiles& p) {
  return {{"p50_us", json_us(p.p50_ns)}, {"p90_us", json_us(p.p90_ns)}, {"p99_us", json_us(p.p99_ns)}};
}

json figures_json(const LiveFigures& f) {
  json segments = json::array();
  for (const SegmentRow& row : f.segments) {
    json one = percentiles_json(row.percentiles);
    one["id"] = segment_info(row.segment).id;
    one["share"] = json_number(row.share);
    segments.push_back(std::move(one));
  }
  return {{"cycles", f.cycles},
          {"per_second", f.per_second},
          {"total", percentiles_json(f.total)},
          {"segments", std::move(segments)},
          {"unattributed_share", json_number(f.unattributed_share)}};
}

std::string confirmed(const LiveSnapshot& s) {
  std::string text;
  for (const Verdict& v : s.verdicts)
    if (v.outcome == Outcome::kConfirmed) text += fmt::format("{}{}", text.empty() ? "" : ", ", v.id);
  return text.empty() ? "none" : text;
}

std::string slowest(const LiveSnapshot& s) {
  if (s.slowest_ns == 0) return "-";
  return fmt::format("{} ({})", format_time(s.slowest_ns), s.slowest_where);
}

const SegmentRow* find(const LiveFigures& f, Segment segment) {
  for (const SegmentRow& row : f.segments)
    if (row.segment == segment) return &row;
  return nullptr;
}

std::string row_text(std::string_view label, const Percentiles& last, const Percentiles& window,
                     std::optional<double> share) {
  return fmt::format("{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}\n", label, kLabelWidth,
                     format_time(last.p50_ns), format_time(last.p99_ns), format_time(window.p50_ns),
                     format_time(window.p90_ns), format_time(window.p99_ns), format_share(share));
}

}  // namespace

std::string format_live_line(const LiveSnapshot& s) {
  return fmt::format(
      "{:.0f} cycles/s (10 s: {:.0f}/s), {} in total · p50 {} p99 {} (10 s: {}, {}) · unattributed {} · "
      "slowest {} · confirmed: {} · drops {}{}\n",
      s.last_second.per_second, s.last_ten.per_second, s.cycles, format_time(s.last_second.total.p50_ns),
      format_time(s.last_second.total.p99_ns), format_time(s.last_ten.total.p50_ns),
      format_time(s.last_ten.total.p99_ns), format_share(s.last_ten.unattributed_share), slowest(s),
      confirmed(s), s.drops, s.window_cut ? " · window cut short" : "");
}

std::string format_live_page(const LiveSnapshot& s, std::string_view title) {
  std::string text = fmt::format(
      "{}\n{:.0f} cycles/s in the last second, {:.0f}/s in the last ten, {} in total; drops {}{}\n"
      "slowest so far: {}\n\n{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}\n",
      printable(title), s.last_second.per_second, s.last_ten.per_second, s.cycles, s.drops,
      s.window_cut ? "; events arrive too fast for the whole window" : "", slowest(s),
      "host side of a cycle: last second, last ten", kLabelWidth, "p50 1s", "p99 1s", "p50 10s", "p90 10s",
      "p99 10s", "share");
  for (const SegmentRow& row : s.last_ten.segments) {
    const SegmentRow* last = find(s.last_second, row.segment);
    text += row_text(segment_info(row.segment).label, last != nullptr ? last->percentiles : Percentiles{},
                     row.percentiles, row.share);
  }
  text += row_text("unattributed", {}, {}, s.last_ten.unattributed_share);
  text += row_text("total", s.last_second.total, s.last_ten.total, {});
  text += "\nverdicts of the last ten seconds:\n";
  std::size_t rest = 0;
  for (const Verdict& v : s.verdicts) {
    if (v.outcome == Outcome::kConfirmed)
      text += fmt::format("  confirmed  {:<51} {}\n", v.claim, printable(v.evidence));
    else
      ++rest;
  }
  return text + fmt::format("  {} falsified, or not testable from the host side alone\n", rest);
}

json to_json(const LiveSnapshot& s) {
  json verdicts = json::array();
  for (const Verdict& v : s.verdicts)
    verdicts.push_back({{"id", v.id}, {"outcome", name_of(v.outcome)}});
  return {{"cycles", s.cycles},
          {"last_1s", figures_json(s.last_second)},
          {"last_10s", figures_json(s.last_ten)},
          {"slowest",
           s.slowest_ns > 0 ? json{{"total_us", json_us(s.slowest_ns)}, {"where", s.slowest_where}} : json()},
          {"verdicts", std::move(verdicts)},
          {"events", s.events},
          {"let_go", s.discarded},
          {"window_cut", s.window_cut},
          {"drops", s.drops}};
}

}  // namespace glassbox::trace
