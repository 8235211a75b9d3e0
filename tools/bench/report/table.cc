#include "tools/bench/report/table.h"

#include <algorithm>

#include "bpf/boot_stages.h"
#include "tools/bench/report/text.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kWordColumns = 2;
constexpr std::size_t kListed = 6;

// How a workload's times are shown: as they are, or as what is done in a second.
struct Unit {
  const char* name;
  double per_second = 0;  // what one sample is worth; 0: the time itself
};

Unit unit_of(const Workload& workload, const Spec& spec) {
  switch (workload.kind) {
    case WorkloadKind::kStreamOut:
    case WorkloadKind::kStreamIn:
      return {"Gbit/s", static_cast<double>(std::uint64_t{spec.stream_mib} << 23) / 1e9};
    case WorkloadKind::kConnectRate:
      return {"1/s", 1};
    default:
      return {"us", 0};
  }
}

std::string value_text(const Unit& unit, const std::optional<std::uint64_t>& ns) {
  if (!ns || *ns == 0) return "-";
  const auto value = static_cast<double>(*ns);
  if (unit.per_second == 0) return fmt::format("{:.1f}", value / 1e3);
  const double rate = unit.per_second * 1e9 / value;
  return fmt::format("{:.{}f}", rate, rate < 100 ? 2 : 0);
}

std::string median_text(const Unit& unit, const Summary& summary) {
  std::string text = value_text(unit, summary.p50_ns);
  if (const auto& interval = summary.median_interval) {
    std::string low = value_text(unit, interval->low_ns);
    std::string high = value_text(unit, interval->high_ns);
    if (unit.per_second != 0) std::swap(low, high);
    text += fmt::format(" [{}, {}]", low, high);
  }
  return text;
}

std::string number(const std::optional<double>& value) {
  if (!value || *value < 0) return "-";  // the process did more of other things than of this
  return fmt::format("{:.1f}", *value);
}

std::vector<std::string> figures_row(const CompareResult& result, const Workload& workload, const Row& row,
                                     const Cell& cell) {
  const Unit unit = unit_of(workload, result.spec);
  const Summary summary = summarize(pooled(cell.rounds));
  const bool times = unit.per_second == 0;
  const auto tail = [&](const std::optional<std::uint64_t>& ns) {
    return times ? value_text(unit, ns) : std::string("-");
  };
  const Row* base = base_of(result, row);
  std::string versus = base == nullptr ? "1x" : "-";
  if (base != nullptr && base->cells.contains(workload.name) &&
      base->cells.at(workload.name).failed.empty()) {
    if (const auto comparison = compare(cell.rounds, base->cells.at(workload.name).rounds))
      versus = describe(*comparison);
  }
  const double n = cell.process_cycles;
  const bool processes = n > 0 && cell.process.cpu_ns > 0;
  const auto each = [&](const std::optional<double>& total) {
    return n > 0 && total ? number(*total / n) : std::string("-");
  };
  return {fmt::format("{}, {}", workload.name, unit.name),
          row.label,
          median_text(unit, summary),
          tail(summary.p90_ns),
          tail(summary.p99_ns),
          tail(summary.max_ns),
          fmt::format("{}", summary.n),
          versus,
          each(cell.process.exits),
          each(cell.process.injections),
          cell.kernel ? number(cell.kernel->calls) : "-",
          cell.kernel ? number(cell.kernel->wakeups) : "-",
          processes ? number(cell.process.switches / n) : "-",
          processes ? number(cell.process.cpu_ns / n / 1e3) : "-"};
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

Table figures_table(const CompareResult& result) {
  Table table{{"workload", "stack", "p50", "p90", "p99", "max", "n", "vs", "exits", "interrupts", "calls",
               "wake-ups", "switches", "CPU us"}};
  for (const Workload& workload : round_workloads(result.spec)) {
    for (const Row& row : result.rows) {
      const auto cell = row.cells.find(workload.name);
      const std::string& failed = cell == row.cells.end() ? row.refused : cell->second.failed;
      if (!failed.empty()) {
        table.push_back({workload.name, row.label, "failed: " + first_line(failed)});
      } else if (cell != row.cells.end() && !cell->second.rounds.empty()) {
        table.push_back(figures_row(result, workload, row, cell->second));
      }
    }
  }
  return table;
}

Table boot_table(const CompareResult& result) {
  Table table{
      {"boot, ms", "stack", "agent ready", "first guest instruction", "kernel to init", "exits", "n"}};
  std::vector<std::uint32_t> stages;
  for (const BootRow& row : result.boots) {
    for (const auto& [stage, rounds] : row.stages) {
      if (std::find(stages.begin(), stages.end(), stage) == stages.end()) stages.push_back(stage);
    }
  }
  for (const std::uint32_t stage : stages)
    table[0].push_back(std::string(stage_name(stage)));
  const auto ms = [](const Rounds& rounds) {
    const auto median = summarize(pooled(rounds)).p50_ns;
    return median ? fmt::format("{:.1f}", static_cast<double>(*median) / 1e6) : std::string("-");
  };
  for (const BootRow& row : result.boots) {
    const std::string name = row.machine.empty() ? row.label : fmt::format("{} ({})", row.label, row.machine);
    if (row.ready.empty() || !row.refused.empty()) {
      table.push_back({"boot", name, row.refused.empty() ? "-" : "failed: " + first_line(row.refused)});
      continue;
    }
    std::vector<double> exits = row.exits;
    std::sort(exits.begin(), exits.end());
    std::vector<std::string> cells{"boot",
                                   name,
                                   ms(row.ready),
                                   ms(row.first_entry),
                                   ms(row.kernel),
                                   exits.empty() ? "-" : fmt::format("{:.0f}", exits[(exits.size() - 1) / 2]),
                                   fmt::format("{}", row.ready.size())};
    for (const std::uint32_t stage : stages)
      cells.push_back(row.stages.contains(stage) ? ms(row.stages.at(stage)) : "-");
    table.push_back(std::move(cells));
  }
  return table;
}

std::string plain_table(const Table& table) {
  std::vector<std::size_t> widths;
  for (const auto& row : table) {
    widths.resize(std::max(widths.size(), row.size()));
    // A row with fewer cells than the header ends in a sentence, which is not to widen the column.
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i + 1 < row.size() || row.size() == table[0].size()) widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool left = i < kWordColumns || row.size() < table[0].size();
      line += left ? fmt::format("{:<{}}  ", row[i], widths[i]) : fmt::format("{:>{}}  ", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string markdown_table(const Table& table) {
  std::string text;
  for (std::size_t r = 0; r < table.size(); ++r) {
    text += "|";
    for (std::size_t i = 0; i < table[0].size(); ++i)
      text += fmt::format(" {} |", i < table[r].size() ? table[r][i] : "");
    text += "\n";
    if (r > 0) continue;
    text += "|";
    for (std::size_t i = 0; i < table[0].size(); ++i)
      text += i < kWordColumns ? "---|" : "--:|";
    text += "\n";
  }
  return text;
}

std::string largest(const std::map<std::string, double>& counts) {
  std::vector<std::pair<std::string, double>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  double other = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (i >= kListed) {
      other += sorted[i].second;
      continue;
    }
    text += fmt::format("{}{} {:.1f}", i == 0 ? "" : ", ", sorted[i].first, sorted[i].second);
  }
  if (sorted.size() > kListed) text += fmt::format(", other {:.1f}", other);
  return text;
}

std::string floor_text(const CompareResult& result) {
  for (const Row& row : result.rows) {
    const auto cell = row.cells.find("crr");
    if (row.entry->name != "guest-loopback" || cell == row.cells.end()) continue;
    const auto median = summarize(pooled(cell->second.rounds)).p50_ns;
    if (median) {
      return fmt::format("the guest's own loopback CRR, below which no monitor can go: {:.1f} us",
                         static_cast<double>(*median) / 1e3);
    }
  }
  return {};
}

std::string_view stage_name(std::uint32_t stage) {
  switch (static_cast<BootStage>(stage)) {
    case BootStage::kMachineCreated:
      return "machine created";
    case BootStage::kKernelLoaded:
      return "kernel loaded";
    case BootStage::kVcpusStarted:
      return "vCPUs started";
    case BootStage::kConsoleOutput:
      return "console output";
    case BootStage::kNetworkReady:
      return "network ready";
    case BootStage::kAgentReady:
      return "agent's word";
    case BootStage::kEnded:
      return "ended";
  }
  return "?";
}

}  // namespace glassbox::bench
