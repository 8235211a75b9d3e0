#include "tools/bench/net/net_report.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>

#include "tools/bench/net/explain.h"
#include "tools/bench/net/targets.h"
#include "tools/trace/record/machine.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

// What tells the objects of a row's arrays apart.
constexpr std::array<const char*, 3> kLabels = {"mtu", "direction", "flows"};

json us(const std::optional<std::uint64_t>& ns) {
  return ns ? json(static_cast<double>(*ns) / 1000) : json();
}

json or_null(const std::string& text) {
  return text.empty() ? json() : json(text);
}

json median_or_null(const std::vector<double>& values) {
  return values.empty() ? json() : json(median(values));
}

json latency_json(const std::optional<Latency>& latency) {
  if (!latency) return nullptr;
  return {{"n", latency->times.n},
          {"p50_us", us(latency->times.p50_ns)},
          {"p99_us", us(latency->times.p99_ns)},
          {"cpu_us", latency->cpu_ns > 0 ? json(latency->cpu_ns / 1000) : json()}};
}

json idle_json(const std::optional<IdleFlows>& idle) {
  if (!idle) return nullptr;
  if (!idle->refused.empty()) return {{"flows", idle->flows}, {"refused", idle->refused}};
  return {{"flows", idle->flows},
          {"refused", nullptr},
          {"cpu_percent", idle->cpu_percent},
          {"resident_kib", idle->resident_kib},
          {"n", idle->loaded.n},
          {"crr_p50_us", us(idle->loaded.p50_ns)},
          {"crr_p99_us", us(idle->loaded.p99_ns)},
          {"unloaded_crr_p50_us", us(idle->unloaded.p50_ns)},
          {"unloaded_crr_p99_us", us(idle->unloaded.p99_ns)},
          {"half_closed_wakeups_per_s", idle->half_closed_wakeups_per_s}};
}

json row_json(const NetRow& row) {
  json one = {{"stack", row.stack},
              {"program", row.program.substr(row.program.rfind('/') + 1)},
              {"pid", row.pid == 0 ? json() : json(row.pid)},
              {"version", row.version},
              {"refused", or_null(row.refused)},
              {"crr", latency_json(row.crr)},
              {"rr", latency_json(row.rr)},
              {"system_calls_per_crr", row.calls_per_crr ? json(*row.calls_per_crr) : json()},
              {"system_calls", row.calls},
              {"streams", json::array()},
              {"parallel", json::array()},
              {"idle", idle_json(row.idle)}};
  if (!row.calls_missing.empty()) one["system_calls_missing"] = row.calls_missing;
  for (const Throughput& stream : row.streams) {
    one["streams"].push_back({{"mtu", stream.mtu},
                              {"direction", stream.out ? "out" : "in"},
                              {"gbps_median", median_or_null(stream.gbps)},
                              {"gbps", stream.gbps},
                              {"refused", or_null(stream.refused)}});
  }
  for (const Parallel& parallel : row.parallel) {
    one["parallel"].push_back({{"flows", parallel.flows},
                               {"crr_per_s_median", median_or_null(parallel.per_second)},
                               {"crr_per_s", parallel.per_second},
                               {"refused", or_null(parallel.refused)}});
  }
  return one;
}

bool empty(const json& value) {
  return value.is_null() || ((value.is_array() || value.is_object() || value.is_string()) && value.empty());
}

// A number of `digits` decimals, or "-".
std::string text(const json& value, int digits) {
  return value.is_number() ? fmt::format("{:.{}f}", value.get<double>(), digits) : "-";
}

std::string latency_text(const json& latency) {
  const json none;
  const auto get = [&](const char* key) -> const json& { return latency.is_object() ? latency[key] : none; };
  return fmt::format("{:>8} {:>8} {:>7}", text(get("p50_us"), 1), text(get("p99_us"), 1),
                     text(get("cpu_us"), 1));
}

std::string latency_table(const json& result) {
  std::string out = fmt::format("{:<15} {:>8} {:>8} {:>7} | {:>8} {:>8} {:>7} | {:>7} {:>6}\n", "", "CRR p50",
                                "p99", "cpu", "RR p50", "p99", "cpu", "calls", "n");
  for (const json& row : result["stacks"]) {
    if (!row["refused"].is_null()) {
      out += fmt::format("{:<15} no row: {}\n", row["stack"].get<std::string>(),
                         row["refused"].get<std::string>());
    } else if (!row["crr"].is_null()) {
      out += fmt::format("{:<15} {} | {} | {:>7} {:>6}\n", row["stack"].get<std::string>(),
                         latency_text(row["crr"]), latency_text(row["rr"]),
                         text(row["system_calls_per_crr"], 1), row["crr"]["n"].get<int>());
    }
  }
  return out +
         "Times in us; p99 from 1,000 samples on. cpu: of the carrying process, an exchange. calls: its "
         "system "
         "calls a CRR.\n";
}

// A table of the rows' arrays: a column for each distinct label, in the order of the first row that has them.
template <typename Label>
std::string array_table(const json& result, const char* array, const char* title, const char* figure,
                        int digits, const Label& label) {
  std::vector<std::string> labels;
  for (const json& row : result["stacks"]) {
    for (const json& one : row[array]) {
      if (std::find(labels.begin(), labels.end(), label(one)) == labels.end()) labels.push_back(label(one));
    }
  }
  if (labels.empty()) return {};
  std::string out = fmt::format("\n{:<15}", title);
  for (const std::string& name : labels)
    out += fmt::format(" {:>13}", name);
  out += '\n';
  for (const json& row : result["stacks"]) {
    if (row[array].empty()) continue;
    out += fmt::format("{:<15}", row["stack"].get<std::string>());
    for (const std::string& name : labels) {
      std::string cell = "-";
      for (const json& one : row[array]) {
        if (label(one) == name) cell = one[figure].is_null() ? "failed" : text(one[figure], digits);
      }
      out += fmt::format(" {:>13}", cell);
    }
    out += '\n';
  }
  return out;
}

std::string idle_table(const json& result) {
  std::string out;
  for (const json& row : result["stacks"]) {
    const json& idle = row["idle"];
    if (idle.is_null()) continue;
    if (out.empty()) {
      out = fmt::format("\n{:<15} {:>8} {:>8} {:>8} {:>10} {:>12}\n", "idle flows", "% core", "MiB",
                        "CRR p50", "unloaded", "half-closed");
    }
    const std::string stack = row["stack"].get<std::string>();
    if (!idle["refused"].is_null()) {
      out += fmt::format("{:<15} failed: {}\n", stack, idle["refused"].get<std::string>());
      continue;
    }
    out += fmt::format("{:<15} {:>8} {:>8} {:>8} {:>10} {:>12}\n", stack, text(idle["cpu_percent"], 2),
                       text(idle["resident_kib"].get<double>() / 1024, 1), text(idle["crr_p50_us"], 1),
                       text(idle["unloaded_crr_p50_us"], 1), text(idle["half_closed_wakeups_per_s"], 1));
  }
  return out.empty()
             ? out
             : out +
                   "With 10,000 open flows: CPU and memory of the carrying process, CRR p50 in us with and "
                   "without them. half-closed: its wake-ups a second beside two half-closed flows.\n";
}

std::string target_table(const json& result) {
  std::string out = fmt::format("\n{:<42} {:>9} {:>8}\n", "target", "measured", "limit");
  for (const json& one : result["targets"]) {
    const std::string unit = one["unit"].get<std::string>();
    out +=
        fmt::format("{:<42} {:>9} {:>8}  {}\n", one["target"].get<std::string>(),
                    one["measured"].is_null() ? "-" : text(one["measured"], 2) + unit,
                    fmt::format("{}{}", one["limit"].get<double>(), unit), one["verdict"].get<std::string>());
  }
  return out;
}

// Of an array's objects those that are of other MTU, direction or number of flows than the ones that are
// there.
void add_missing(json& to, const json& from) {
  const auto same = [](const json& a, const json& b) {
    return std::all_of(std::begin(kLabels), std::end(kLabels),
                       [&](const char* key) { return a.value(key, json()) == b.value(key, json()); });
  };
  const json before = to;
  for (const json& one : from) {
    if (std::none_of(before.begin(), before.end(), [&](const json& other) { return same(one, other); })) {
      to.push_back(one);
    }
  }
}

// Of the parts' explanations those whose target the whole misses too; of one subject the first.
json still_missed(const json& targets, const std::vector<json>& results) {
  json kept = json::array();
  const auto missed = [&](const json& subject) {
    return std::any_of(targets.begin(), targets.end(), [&](const json& target) {
      return target["verdict"] == "missed" && target.value("subject", json()) == subject;
    });
  };
  for (const json& result : results) {
    for (const json& one : result.value("explanations", json::array())) {
      const bool known = std::any_of(kept.begin(), kept.end(),
                                     [&](const json& other) { return other["subject"] == one["subject"]; });
      if (!known && missed(one["subject"])) kept.push_back(one);
    }
  }
  return kept;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

json describe_machine() {
  json machine = trace::machine_info(::getpid());
  std::array<double, 3> load{};
  if (::getloadavg(load.data(), 3) == 3) machine["load_average"] = load;
  machine["processors"] = ::sysconf(_SC_NPROCESSORS_ONLN);
  machine["date"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return machine;
}

json net_json(const NetSpec& spec, const json& machine, const std::vector<NetRow>& rows) {
  json out = {{"machine", machine},
              {"spec",
               {{"rounds", spec.rounds},
                {"cycles", spec.cycles},
                {"stream_mib", spec.stream_mib},
                {"stream_rounds", spec.stream_rounds},
                {"parallel_rounds", spec.parallel_rounds},
                {"parallel_cycles", spec.parallel_cycles},
                {"idle_flows", spec.idle_flows}}},
              {"stacks", json::array()}};
  for (const NetRow& row : rows)
    out["stacks"].push_back(row_json(row));
  out["targets"] = net_targets(out);
  return out;
}

Result<json> merge_net_json(const std::vector<json>& results) {
  if (results.empty()) return fail("nothing to merge");
  for (const json& result : results) {
    if (!result.is_object() || !result.contains("stacks") || !result.contains("machine")) {
      return fail("not a result of bench_net");
    }
  }
  json merged = results.front();
  merged["runs"] = json::array();
  for (const json& result : results) {
    for (const char* key : {"cpu", "kernel"}) {
      if (result["machine"].value(key, "") != merged["machine"].value(key, "")) {
        return fail("results of different machines ({})", key);
      }
    }
    merged["runs"].push_back({{"machine", result["machine"]}, {"spec", result.value("spec", json())}});
    for (const json& row : result["stacks"]) {
      auto same = std::find_if(merged["stacks"].begin(), merged["stacks"].end(),
                               [&](const json& other) { return other["stack"] == row["stack"]; });
      if (same == merged["stacks"].end()) {
        merged["stacks"].push_back(row);
        continue;
      }
      if (row["version"] != (*same)["version"])
        return fail("results of different versions of {}", row["stack"].dump());
      for (const auto& [key, value] : row.items()) {
        if (!same->contains(key) || empty((*same)[key])) {
          (*same)[key] = value;
        } else if (key == "streams" || key == "parallel") {
          add_missing((*same)[key], value);
        }
      }
    }
  }
  merged["targets"] = net_targets(merged);
  merged["explanations"] = still_missed(merged["targets"], results);
  return merged;
}

std::string net_table(const json& result) {
  const json& machine = result["machine"];
  std::string out =
      fmt::format("{}, kernel {}, {} processors, load {} before the run\n\n", machine.value("cpu", "?"),
                  machine.value("kernel", "?"), machine.value("processors", 0L),
                  machine.value("load_average", json()).dump());
  out += latency_table(result);
  out += array_table(result, "streams", "stream, Gbps", "gbps_median", 2, [](const json& one) {
    return fmt::format("{} MTU {}", one["direction"].get<std::string>(), one["mtu"].get<int>());
  });
  out += array_table(result, "parallel", "parallel, CRR/s", "crr_per_s_median", 0,
                     [](const json& one) { return fmt::format("{} at once", one["flows"].get<int>()); });
  out += idle_table(result);
  out += target_table(result);
  out += explanation_table(result.value("explanations", json::array()));
  out += "\nPackets carried by:\n";
  for (const json& row : result["stacks"]) {
    if (!row["refused"].is_null()) continue;
    const std::string program = row["program"].get<std::string>();
    out += fmt::format("{:<15} {}\n", row["stack"].get<std::string>(),
                       program.empty() ? row["version"].get<std::string>()
                                       : fmt::format("{} {} (process {})", program,
                                                     row["version"].get<std::string>(), row["pid"].dump()));
    if (row.contains("system_calls_missing")) {
      out += fmt::format("{:<15} {}\n", "", row["system_calls_missing"].get<std::string>());
    }
  }
  return out;
}

}  // namespace glassbox::bench
