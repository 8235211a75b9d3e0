#include "tools/trace/report/losses.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

struct Counter {
  std::string_view id, label;
  bool of_host, of_guest;
};
// The host's programs hang on uprobes and tracepoints: only kprobes have kprobe misses.
constexpr std::array<Counter, 5> kCounters = {{
    {"ring_full", "failed reserves", true, true},
    {"buffer_full", "buffer full", false, true},
    {"map_errors", "not followed", true, false},
    {"recursion_misses", "recursion misses", true, true},
    {"kprobe_misses", "kprobe misses", false, true},
}};

DropCounters shares_of(const DropCounters& drops, std::string_view id) {
  DropCounters shares;
  for (const auto& [name, count] : drops)
    if (const std::size_t colon = name.find(':'); name.substr(0, colon) == id && is_share(name))
      shares[name.substr(colon + 1)] = count;
  return shares;
}

std::string row_text(const LossRow& row) {
  if (!row.count) return fmt::format("{} not counted", row.label);
  std::string by;
  for (const auto& [what, count] : row.by)
    by += fmt::format("{}{} {}", by.empty() ? "" : ", ", what, count);
  return fmt::format("{} {}{}{}{}", *row.count, row.label, by.empty() ? "" : " (", by, by.empty() ? "" : ")");
}

std::string side_text(std::string_view side, const std::vector<LossRow>& rows) {
  if (rows.empty()) return {};
  std::string text;
  for (const LossRow& row : rows)
    text += (text.empty() ? "" : ", ") + row_text(row);
  return fmt::format("lost {}: {}\n", side, printable(text));
}

void append_json(std::string_view side, const std::vector<LossRow>& rows, json& out) {
  for (const LossRow& row : rows) {
    json by = json::object();
    for (const auto& [what, count] : row.by)
      by[what] = count;
    out.push_back({{"side", side},
                   {"counter", row.id},
                   {"count", row.count ? json(*row.count) : json()},
                   {"by", std::move(by)}});
  }
}

}  // namespace

std::vector<LossRow> loss_rows(const Side& side, Where where) {
  std::vector<LossRow> rows;
  for (const Counter& counter : kCounters) {
    if (!(where == Where::host ? counter.of_host : counter.of_guest)) continue;
    LossRow row{counter.id, counter.label, {}, shares_of(side.drops, counter.id)};
    if (const auto it = side.drops.find(std::string(counter.id)); it != side.drops.end())
      row.count = it->second;
    rows.push_back(std::move(row));
  }
  rows.push_back({"sequence_gaps", "gaps in the sequences", side.sequence_gaps, {}});
  rows.push_back(
      {"impossible_records", "impossible records", side.impossible_records, side.impossible_by_event});
  return rows;
}

std::string format_losses(const std::vector<LossRow>& host, const std::vector<LossRow>& guest) {
  return side_text("on the host", host) + side_text("in the guest", guest);
}

json losses_json(const std::vector<LossRow>& host, const std::vector<LossRow>& guest) {
  json out = json::array();
  append_json("host", host, out);
  append_json("guest", guest, out);
  return out;
}

}  // namespace glassbox::trace
